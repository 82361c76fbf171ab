/**
 * Aborts `own` as soon as `signal` is aborted, until the returned function is called. By hand, because what
 * `AbortSignal.any` makes of a signal that outlives many turns is kept as long as that signal in Node.js 20.
 */
export function followSignal(signal: AbortSignal | undefined, own: AbortController): () => void {
  if (signal === undefined) return () => {};
  const abort = () => own.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  return () => signal.removeEventListener('abort', abort);
}

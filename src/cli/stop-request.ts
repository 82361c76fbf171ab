const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** What shells report for a process ended by SIGINT. */
const EXIT_INTERRUPTED = 130;

export interface StopRequest {
  /** Aborted with the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Resolves then. */
  readonly requested: Promise<void>;
}

const PARENT_LOOKED_AT_MS = 500;

/**
 * Turns the first SIGINT or SIGTERM into a request to stop in good order; the second ends the process at once. So does the end
 * of the npm that started it: npm passes a signal on to the shell between them, which passes it to nobody.
 */
export function stopRequested({ startedByNpm = false }: { readonly startedByNpm?: boolean } = {}): StopRequest {
  const controller = new AbortController();
  const requested = new Promise<void>((resolve) => {
    controller.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  for (const name of STOP_SIGNALS) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(EXIT_INTERRUPTED);
      process.stderr.write(`discedge: stopping (${name}); once more to stop at once\n`);
      controller.abort(new Error(`stopped by ${name}`));
    });
  }
  if (startedByNpm) {
    onParentGone(() => {
      process.stderr.write('discedge: stopping, since the npm that started it has ended\n');
      controller.abort(new Error('npm has ended'));
    });
  }
  return { signal: controller.signal, requested };
}

function onParentGone(act: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    act();
  }, PARENT_LOOKED_AT_MS);
  timer.unref();
}

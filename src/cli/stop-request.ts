const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** What shells report for a process ended by SIGINT. */
const EXIT_INTERRUPTED = 130;

export interface StopRequest {
  /** Aborted with the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Resolves then. */
  readonly requested: Promise<void>;
}

/** Turns the first SIGINT or SIGTERM into a request to stop in good order; the second ends the process at once. */
export function stopRequested(): StopRequest {
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
  return { signal: controller.signal, requested };
}

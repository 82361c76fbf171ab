import type { Clock } from '../environment/environment.ts';
import { pause } from './pause.ts';

interface Rhythm {
  readonly clock: Clock;
  /** From the end of one time to the beginning of the next, and before the first. */
  readonly everyMs: number;
}

/** Does `work`, which must not fail, again and again until `signal` aborts; resolves then, once it is not under way any more. */
export async function repeatUntil(
  signal: AbortSignal,
  { clock, everyMs }: Rhythm,
  work: () => Promise<void> | void,
): Promise<void> {
  for (;;) {
    await pause(clock, everyMs, signal);
    if (signal.aborted) return;
    await work();
  }
}

/** {@link repeatUntil} the function that it returns is called, which resolves as that does. */
export function repeat(rhythm: Rhythm, work: () => Promise<void> | void): () => Promise<void> {
  const ending = new AbortController();
  const ended = repeatUntil(ending.signal, rhythm, work);
  return () => {
    ending.abort();
    return ended;
  };
}

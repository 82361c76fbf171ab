import { DiscedgeError } from '../../domain/errors.ts';
import type { Environment } from '../../environment/environment.ts';
import { BackOff } from '../../waiting/back-off.ts';
import { pause } from '../../waiting/pause.ts';

const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 5_000;

/**
 * What `connect` comes to, tried again while it throws `llm_unavailable` (not there, or still loading) and `waitMs` are not over;
 * that it waits, and for what, is logged once. Throws what `connect` threw last, or `signal.reason`.
 */
export async function onceAvailable<T>(
  connect: () => Promise<T>,
  { waitMs, signal }: { readonly waitMs: number; readonly signal: AbortSignal | undefined },
  { clock, logger }: Environment,
): Promise<T> {
  const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
  const startedMs = clock.monotonic();
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await connect();
    } catch (error) {
      const leftMs = waitMs - (clock.monotonic() - startedMs);
      if (!(error instanceof DiscedgeError && error.code === 'llm_unavailable') || leftMs <= 0) throw error;
      if (attempt === 1) logger.warn('llm.start_waits', { waitMs }, error);
      await pause(clock, Math.min(backOff.next(), leftMs), signal);
    }
  }
}

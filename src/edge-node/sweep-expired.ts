import type { SessionRecords } from '../context-manager/sessions/session-records.ts';
import type { Environment } from '../environment/environment.ts';

/** Removes expired sessions every `everyMs`; returns a function that ends it. A failed sweep is logged and tried again. */
export function sweepExpired(
  records: SessionRecords,
  { clock, logger }: Environment,
  everyMs: number,
): () => Promise<void> {
  let ended = false;
  let sweeping: Promise<void> = Promise.resolve();
  let cancel = () => {};

  const sweep = async () => {
    try {
      const removed = await records.removeExpired();
      if (removed > 0) logger.info('sessions_expired', { sessions: removed });
    } catch (error) {
      logger.warn('expiry_failed', {}, error);
    }
    schedule();
  };
  const schedule = () => {
    if (ended) return;
    cancel = clock.after(everyMs, () => {
      sweeping = sweep();
    });
  };

  schedule();
  return async () => {
    ended = true;
    cancel();
    await sweeping;
  };
}

import type { SessionRecords } from '../context-manager/sessions/session-records.ts';
import type { Environment } from '../environment/environment.ts';
import { repeat } from '../waiting/repeat.ts';

/** Removes expired sessions every `everyMs`; returns a function that ends it. A failed sweep is logged and tried again. */
export function sweepExpired(
  records: SessionRecords,
  { clock, logger }: Environment,
  everyMs: number,
): () => Promise<void> {
  return repeat({ clock, everyMs }, async () => {
    try {
      const removed = await records.removeExpired();
      if (removed > 0) logger.info('sessions_expired', { sessions: removed });
    } catch (error) {
      logger.warn('expiry_failed', {}, error);
    }
  });
}

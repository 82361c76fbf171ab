import type { ContextStore, ReplicationStatus } from '../context-store/context-store.ts';
import { CUT_OFF_GRACE_MS, REMOVAL_GRACE_MS } from '../domain/expiry.ts';
import type { Environment } from '../environment/environment.ts';

/**
 * Removes expired sessions every `everyMs`, shared ones only when nothing can prolong them any more; returns a function that
 * ends it. A failed sweep is logged and tried again.
 */
export function sweepExpired(
  store: ContextStore,
  { clock, logger }: Environment,
  everyMs: number,
): () => Promise<void> {
  let ended = false;
  let sweeping: Promise<void> = Promise.resolve();
  let cancel = () => {};

  const sweep = async () => {
    try {
      const removed = await store.expire(clock.now() - graceOf(store));
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

function graceOf({ sharing }: ContextStore): number {
  if (sharing === undefined) return 0;
  return hearsFromAll(sharing.status()) ? REMOVAL_GRACE_MS : CUT_OFF_GRACE_MS;
}

/** Whether every record that a peer has written by now is here, as far as is known. */
function hearsFromAll({ peers }: ReplicationStatus): boolean {
  return peers
    .filter(({ state }) => state !== 'refused')
    .every(({ state, logs }) => state !== 'unreachable' && logs.every(({ lag }) => lag === 0));
}

import type { ContextStore, StoreStatus } from '../../context-store/context-store.ts';
import type { Metrics } from '../../environment/environment.ts';

/** What a store had no room for. */
export function exposeStore(store: Pick<ContextStore, 'status'>, metrics: Metrics): void {
  const ofStatus = (value: (status: StoreStatus) => number) => async () => value(await store.status());
  metrics.gauge(
    { name: 'discedge_evicted_sessions', help: 'Sessions removed since the start because the store was full' },
    ofStatus(({ evictedSessions }) => evictedSessions),
  );
  metrics.gauge(
    {
      name: 'discedge_evicted_last_copies',
      help: 'Sessions among those removed because the store was full that no other node was known to hold',
    },
    ofStatus(({ evictedLastCopies }) => evictedLastCopies),
  );
}

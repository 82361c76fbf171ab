import type { LevelStore } from '../../context-store/leveldb.ts';
import type { Metrics } from '../../environment/environment.ts';

/** How far a store is with what lies under an earlier key, or in the clear. Nothing where there is none. */
export function exposeResealing({ resealing }: Pick<LevelStore, 'resealing'>, metrics: Metrics): void {
  if (resealing === undefined) return;
  metrics.gauge(
    { name: 'discedge_records_to_reseal', help: 'Records that may still lie under an earlier key, or in the clear.' },
    () => resealing.recordsLeft,
  );
}

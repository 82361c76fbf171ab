import type { Incarnation, NodeId } from '../domain/identifiers.ts';
import type { ContextMode } from '../domain/turn-record.ts';

/** The node's limits and defaults, all bounded; docs/configuration.md says why each is what it is. */
export interface ContextManagerOptions {
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly defaultMode: ContextMode;
  readonly ttlSeconds: number;
  readonly ttlSecondsMax: number;
  readonly sessionQueueMax: number;
  readonly turnsInFlightMax: number;
  readonly contextCacheBytes: number;
  readonly replyTokensDefault: number;
  readonly replyTokensMax: number;
  readonly finishAbandonedMs: number;
}

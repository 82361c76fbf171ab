import type { Incarnation, NodeId } from '../domain/identifiers.ts';
import type { TurnGatePolicy } from '../domain/session/consistency.ts';
import type { WarmingPolicyName } from '../domain/warming-policies.ts';

/** The node's limits and defaults, all bounded; docs/configuration.md says why each is what it is. */
export interface NodeOptions {
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly turnGate: TurnGatePolicy;
  /** Under `fixed`: how often the turn gate looks again, and how far apart. */
  readonly turnGateRetriesMax: number;
  readonly turnGateBackoffMs: number;
  readonly ttlSeconds: number;
  readonly ttlSecondsMax: number;
  /** `undefined`: a session that is used lives on. */
  readonly sessionAgeSecondsMax?: number | undefined;
  readonly sessionQueueMax: number;
  readonly turnsInFlightMax: number;
  readonly contextCacheBytes: number;
  readonly replyTokensDefault: number;
  readonly replyTokensMax: number;
  readonly finishAbandonedMs: number;
  /** How long an arbiter may take to answer, beyond the delay that was measured to it. */
  readonly arbiterWaitMs: number;
  readonly warming: WarmingPolicyName;
  /** Below it a session is not warmed. */
  readonly warmingChancePercent: number;
  /** For each model; `undefined`: as many as its idle engine evaluates. */
  readonly warmingIdsPerSecond: number | undefined;
  /** The same; `undefined`: as much as its engine has room for. */
  readonly warmingKvBytes: number | undefined;
}

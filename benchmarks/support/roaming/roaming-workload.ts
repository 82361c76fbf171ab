import { WARMING_POLICIES } from '../../../src/domain/warming-policies.ts';
import type { MovementName } from '../../../tools/roaming-simulation/movement.ts';

/** Least and most, each as likely as what is between. */
export type Range = readonly [least: number, most: number];

/** What clients do; one seed gives the same moves, pauses and messages under every policy. */
export interface RoamingWorkload {
  readonly movement: MovementName;
  readonly clients: number;
  /** Of each client, one after another. */
  readonly sessions: number;
  /** Of a session. */
  readonly turns: Range;
  /** Ids of the message that a session begins with. */
  readonly openingIds: Range;
  /** Pause before each turn, and after the last one, which its client reads as any other. */
  readonly thinkMs: Range;
  readonly seed: number;
}

/** Who keeps the context, and whom the nodes warm. */
export const ROAMING_POLICIES = [...WARMING_POLICIES.toReversed(), 'client-side'] as const;
export type RoamingPolicy = (typeof ROAMING_POLICIES)[number];

/** How a turn stands to the one before it. */
export type TurnKind = 'opens' | 'stays' | 'moves';

export interface TakenTurn {
  readonly kind: TurnKind;
  readonly firstTextMs: number;
  /** Of the session before this turn. */
  readonly contextIds: number;
  /** Of the prompt, found in the KV cache. */
  readonly cachedIds: number;
  readonly evaluatedIds: number;
}

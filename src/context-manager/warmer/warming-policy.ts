import type { NodeId } from '../../domain/identifiers.ts';
import type { LearnedMovement } from './learned-movement.ts';

/** A node of the keygroup, and where it is, if it says. */
export interface PlacedNode {
  readonly nodeId: NodeId;
  readonly location: { readonly latitude: number; readonly longitude: number } | undefined;
}

/** The nodes where the next turn of a session can be taken, as this one sees them now. */
export interface NodesInView {
  readonly self: PlacedNode;
  others(): readonly PlacedNode[];
}

/** One turn of a session: where it was taken, and when. */
export interface Visit {
  readonly node: NodeId;
  readonly atMs: number;
}

/** Where the last turns of a session were taken. */
export interface Track {
  /** Oldest first; the last is that of the newest turn. Never empty. */
  readonly visits: readonly Visit[];
  /** What its client named with the newest turn: node ids, which need not be any's. */
  readonly nextNodes: readonly string[];
}

export interface Expectation {
  /** That the next turn is taken at this node, 0 to 1. */
  readonly chance: number;
  /** Whether that is enough to evaluate its context ahead of need. */
  readonly isWorth: boolean;
}

/** How a node comes to expect a session. */
export interface WarmingPolicy {
  /** A turn of the keygroup was taken, here or elsewhere; `track` ends with it. */
  learn?(track: Track): void;
  /** No further turn of that session is waited for: it was removed, or has been still for longest. */
  ended?(track: Track): void;
  /** What has been learned so far, where that is to outlive the node. */
  learned?(): LearnedMovement | undefined;
  /** What to expect of the session's next turn; `undefined` where nothing can be said. */
  expect(track: Track, nowMs: number): Expectation | undefined;
}

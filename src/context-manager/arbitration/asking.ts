import type { NodeId } from '../../domain/identifiers.ts';

/** How soon an arbiter is asked again that has said who is at the turn; its record usually arrives before. */
const ASK_AGAIN_FIRST_MS = 50;
const ASK_AGAIN_MAX_MS = 1_000;

/** One turn's questions. */
export class Asking {
  /** Who was last said to be at the turn. */
  at: NodeId | undefined;
  /** When the node was asked that first said that the turn is answered. */
  answeredMs: number | undefined;
  /** All that was last said to be the answer is in this node's store, whatever has become of it. */
  isAnswerHere = false;
  readonly heard = new Set<NodeId>();
  /** How long its client waits for what is elsewhere. */
  readonly maxWaitMs: number;
  #pauseMs = ASK_AGAIN_FIRST_MS / 2;

  constructor(maxWaitMs: number) {
    this.maxWaitMs = maxWaitMs;
  }

  nextPauseMs(): number {
    this.#pauseMs = Math.min(ASK_AGAIN_MAX_MS, this.#pauseMs * 2);
    return this.#pauseMs;
  }
}

/** A node that may arbitrate a turn. */
export interface Candidate {
  readonly nodeId: NodeId;
  readonly isReachable: boolean;
  /** By the session itself, so that all nodes ask it; the others stand in for it. */
  readonly isNamed: boolean;
}

/** Next to the named one that which is said to be at the turn: where the named one is gone, it knows. */
export function askedFirst([named, ...others]: readonly Candidate[], at: NodeId | undefined): Candidate[] {
  const isAt = ({ nodeId }: Candidate) => nodeId === at;
  return [...(named ? [named] : []), ...others.filter(isAt), ...others.filter((other) => !isAt(other))];
}

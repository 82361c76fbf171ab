import type { ContextId, KeygroupId, NodeId, SessionKey, TurnNumber } from '../domain/identifiers.ts';

/** A node's attempt at a turn of a session: the one after `parent`, or the first where that is `undefined`. */
export interface TurnAttempt {
  readonly key: SessionKey;
  readonly turn: TurnNumber;
  readonly parent: ContextId | undefined;
  /** Tells the attempts of one node apart: the end of one says nothing of the next, which has a greater number. */
  readonly attempt: number;
}

/**
 * What an arbiter says to a node that is about to answer a turn. `go`: it is at that turn from now on, and others are sent
 * to it; `isSure` where nobody else can have been let go on, and `lapsed` the node that was and of which nothing was heard
 * again: it may be asked itself. `running`: that node is at it. `answered`: it is, or the session
 * was deleted, and what the arbiter holds of it and the asking node lacks has come along; all of it where `isHere`.
 */
export type TurnVerdict =
  | { readonly kind: 'go'; readonly isSure: boolean; readonly lapsed?: NodeId }
  | { readonly kind: 'running'; readonly at: NodeId }
  | { readonly kind: 'answered'; readonly isHere?: boolean };

/** `held`: the node is still at the turn that it was let answer. `over`: it is not any more, and has stored nothing. */
export type GrantNews = 'held' | 'over';

/** What a node does for others that ask about turns of its. */
export interface TurnArbiter {
  answer(attempt: TurnAttempt, from: NodeId): Promise<TurnVerdict>;
  note(attempt: TurnAttempt, from: NodeId, news: GrantNews): void;
}

/** A node that may be asked about turns. */
export interface ArbiterNode {
  readonly nodeId: NodeId;
  /** Whether it is there and answers such questions, as far as is known. */
  readonly isReachable: boolean;
}

/** How nodes ask each other about turns, whatever carries it. */
export interface TurnArbitration {
  /** The other nodes that share the keygroup, whether they are there or not. */
  nodes(keygroup: KeygroupId): readonly ArbiterNode[];
  /**
   * One round trip; where the turn is answered, what is lacked of it is fetched, and waited for so long. `undefined` when the
   * node has not answered `patienceMs` beyond the delay that was measured to it. Never rejects.
   */
  ask(
    nodeId: NodeId,
    attempt: TurnAttempt,
    waits: { readonly patienceMs: number; readonly fetchMs: number },
  ): Promise<TurnVerdict | undefined>;
  /** Needs no answer, and may be lost. */
  tell(nodeId: NodeId, attempt: TurnAttempt, news: GrantNews): void;
  /** Whom others hear when they ask this node. Before that they hear nothing. */
  serve(arbiter: TurnArbiter): void;
}

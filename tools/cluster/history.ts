/** One message of a client, from the first time it was sent until the client stopped asking for its reply. */
export interface Operation {
  readonly kind: 'turn';
  readonly session: string;
  /** Names the message; no two messages share one. */
  readonly nonce: string;
  readonly consistency: 'strong' | 'available';
  /**
   * `acknowledged`: there is a reply. `refused`: every attempt was answered by a node's word that it stores nothing of it.
   * `unknown`: it may have taken effect anywhere.
   */
  readonly outcome: 'acknowledged' | 'refused' | 'unknown';
  /** More than one request was sent, perhaps to several nodes: each of those may have stored a turn of its own, on a branch. */
  readonly isTwinned: boolean;
  /** Exactly where it was acknowledged. */
  readonly reply?: AcknowledgedReply | undefined;
}

export interface AcknowledgedReply {
  readonly node: string;
  readonly turn: number;
  readonly contextId: string;
  /** By the client's clock. */
  readonly atMs: number;
  /** Whether the node says that another one has it, too. */
  readonly isReplicated: boolean;
  /** The last turn that the node says it answered from. */
  readonly basedOnTurn: number;
  /** Nonces of all messages that the model read, in the order in which it read them; its own is the last. */
  readonly seen: readonly string[];
  readonly text: string;
}

/** A client asked for a turn again whose reply it had, at the same node, with the same words. */
export interface Repetition {
  readonly kind: 'repetition';
  readonly session: string;
  readonly nonce: string;
  readonly reply: AcknowledgedReply & { readonly replayed: boolean };
}

/** A client had its session deleted. Nothing of it may be seen once this is known everywhere. */
export interface Deletion {
  readonly kind: 'deletion';
  readonly session: string;
  /** False: asked for, and not known whether it took effect. */
  readonly isCertain: boolean;
  readonly atMs: number;
}

/** A node has lost its disk without warning. */
export interface Wipe {
  readonly kind: 'wipe';
  readonly node: string;
  readonly atMs: number;
}

/** What clients know, and what was done to the nodes' disks, in the order in which they learned it. */
export type History = ReadonlyArray<Operation | Repetition | Deletion | Wipe>;

/** A turn record as a node's disk holds it. */
export interface HeldRecord {
  readonly hash: string;
  readonly parent: string | undefined;
  readonly turn: number;
  readonly origin: string;
  readonly incarnation: string;
  /** Nonces of the messages of this turn: one, unless something is wrong. */
  readonly nonces: readonly string[];
}

export interface HeldSession {
  readonly deleted: boolean;
  /** Records that the node could not read. */
  readonly corrupt: number;
  readonly records: readonly HeldRecord[];
}

/** By session. */
export type Replica = ReadonlyMap<string, HeldSession>;

/** A promise that was broken, in words that name the session. */
export interface Violation {
  readonly rule: Rule;
  readonly what: string;
}

export type Rule =
  | 'lost turn'
  | 'stale answer'
  | 'turn twice'
  | 'foreign message'
  | 'wrong label'
  | 'refused turn took effect'
  | 'replay differs'
  | 'replicas differ'
  | 'hole'
  | 'damaged record'
  | 'deleted session is back'
  | 'not caught up'
  | 'defect';

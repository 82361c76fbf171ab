export interface SessionSummary {
  readonly sessionId: string;
  readonly userId: string;
  /** The model that it is with, where the node serves several. */
  readonly model: string | undefined;
  readonly mode: string;
  /** Number of its latest turn. */
  readonly turns: number;
  readonly bytes: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly expiresAt: Date;
  /** As the node gave it. */
  readonly wire: Wire;
}

export interface StoredTurn {
  readonly turn: number;
  readonly contextId: string;
  /** Context id of the turn before; `undefined` for turn 1. */
  readonly parent: string | undefined;
  /** Of the turn that opened the session, where it had one. */
  readonly system: string | undefined;
  readonly user: string;
  readonly reply: string;
  /** Why `user` and `reply` are empty, where the node could not put the ids into words. */
  readonly textError: string | undefined;
  /** `end`, `limit` or `word`. */
  readonly stopType: string;
  /** Of this turn's part of the prompt and of its reply; `undefined` in `raw`, which keeps no tokens. */
  readonly promptTokens: number | undefined;
  readonly replyTokens: number | undefined;
  /** Id of the node that answered it. */
  readonly node: string;
  readonly writtenAt: Date;
  /** The context id of a turn that was lost with its node: this one is what a client told of it. */
  readonly repairs: string | undefined;
}

/** Turns beside the main line: another node took the same turn while the two could not see each other. */
export interface StoredBranch {
  /** Of its last turn: send it to go on with this branch. */
  readonly contextId: string;
  /** Number of its last turn. */
  readonly turn: number;
  /** The last turn that it shares with what comes before it; 0 for none. */
  readonly partsAfter: number;
  /** From there on, oldest first. */
  readonly turns: readonly StoredTurn[];
}

export interface StoredSession {
  readonly sessionId: string;
  readonly userId: string;
  readonly model: string | undefined;
  readonly mode: string;
  readonly expiresAt: Date;
  /** The main line, oldest first. */
  readonly turns: readonly StoredTurn[];
  /** Beside it, deepest first; each turn is listed once. */
  readonly branches: readonly StoredBranch[];
  /** The node's answer as it came. */
  readonly wire: Wire;
}

/** A session that begins as another one does. */
export interface ForkedSession {
  readonly sessionId: string;
  /** Turns that it has. */
  readonly turn: number;
  readonly contextId: string;
  readonly expiresAt: Date;
  /** The node's answer as it came; says what it was forked from. */
  readonly wire: Wire;
}

/** A session that goes on with another model. */
export interface MovedSession extends ForkedSession {
  readonly model: string;
  /** Turns at the beginning that do not fit into that model's window. */
  readonly droppedTurns: number;
  /** What it had that words do not carry, by the node's names for it. */
  readonly notCarried: readonly string[];
}

export type Wire = Readonly<Record<string, unknown>>;

/**
 * The deepest line that has the turn `contextId`, or else one that stands for it, oldest turn first; the main line when no
 * line has.
 */
export function lineThrough({ turns, branches }: StoredSession, contextId: string | undefined): readonly StoredTurn[] {
  const isNamed = (turn: StoredTurn) => turn.contextId === contextId;
  const standsFor = (turn: StoredTurn) => turn.repairs !== undefined && turn.repairs === contextId;
  for (const isIt of [isNamed, standsFor]) {
    if (turns.some(isIt)) return turns;
    const branch = branches.find((candidate) => candidate.turns.some(isIt));
    if (branch !== undefined)
      return lineTo(branch.contextId, [turns, ...branches.map((listed) => listed.turns)].flat());
  }
  return turns;
}

function lineTo(contextId: string, turns: readonly StoredTurn[]): readonly StoredTurn[] {
  const all = new Map(turns.map((turn) => [turn.contextId, turn]));
  const line: StoredTurn[] = [];
  for (let turn = all.get(contextId); turn !== undefined; turn = all.get(turn.parent ?? '')) line.push(turn);
  return line.reverse();
}

export function summaryOf(wire: Wire): SessionSummary {
  return {
    sessionId: String(wire.session_id),
    userId: String(wire.user_id),
    model: typeof wire.model === 'string' ? wire.model : undefined,
    mode: String(wire.mode),
    turns: Number(wire.turns),
    bytes: Number(wire.bytes),
    createdAt: new Date(String(wire.created_at)),
    updatedAt: new Date(String(wire.updated_at)),
    expiresAt: new Date(String(wire.expires_at)),
    wire,
  };
}

export function sessionOf(wire: Wire): StoredSession {
  return {
    sessionId: String(wire.session_id),
    userId: String(wire.user_id),
    model: typeof wire.model === 'string' ? wire.model : undefined,
    mode: String(wire.mode),
    expiresAt: new Date(String(wire.expires_at)),
    turns: listOf(wire.turns).map(turnOf),
    branches: listOf(wire.branches).map((branch) => ({
      contextId: String(branch.context_id),
      turn: Number(branch.turn),
      partsAfter: Number(branch.parts_after),
      turns: listOf(branch.turns).map(turnOf),
    })),
    wire,
  };
}

export function forkedSessionOf(wire: Wire): ForkedSession {
  return {
    sessionId: String(wire.session_id),
    turn: Number(wire.turn),
    contextId: String(wire.context_id),
    expiresAt: new Date(String(wire.expires_at)),
    wire,
  };
}

export function movedSessionOf(wire: Wire): MovedSession {
  return {
    ...forkedSessionOf(wire),
    model: String(wire.model),
    droppedTurns: Number(wire.dropped_turns),
    notCarried: Array.isArray(wire.not_carried) ? wire.not_carried.map(String) : [],
  };
}

export interface ImportedSession {
  readonly sessionId: string;
  /** The last one of the main line. */
  readonly turn: number;
  /** Of that one: context ids are others than before. */
  readonly contextId: string;
  /** The same request had imported it before. */
  readonly replayed: boolean;
  /** As the node said it. */
  readonly wire: Wire;
}

export function importedSessionOf(wire: Wire): ImportedSession {
  return {
    sessionId: String(wire.session_id),
    turn: Number(wire.turn),
    contextId: String(wire.context_id),
    replayed: wire.replayed === true,
    wire,
  };
}

export function listOf(value: unknown): readonly Wire[] {
  return Array.isArray(value) ? (value as Wire[]) : [];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function optionalTextOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function textErrorOf(value: unknown): string | undefined {
  const { message } = (value ?? {}) as { message?: unknown };
  return typeof message === 'string' ? message : undefined;
}

function turnOf(wire: Wire): StoredTurn {
  return {
    turn: Number(wire.turn),
    contextId: String(wire.context_id),
    parent: typeof wire.parent === 'string' ? wire.parent : undefined,
    system: optionalTextOf(wire.system),
    user: textOf(wire.user),
    reply: textOf(wire.reply),
    textError: textErrorOf(wire.text_error),
    stopType: String(wire.stop_type),
    promptTokens: typeof wire.prompt_tokens === 'number' ? wire.prompt_tokens : undefined,
    replyTokens: typeof wire.reply_tokens === 'number' ? wire.reply_tokens : undefined,
    node: String(wire.node),
    writtenAt: new Date(String(wire.written_at)),
    repairs: optionalTextOf(wire.repairs),
  };
}

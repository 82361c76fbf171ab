import type { StoredTurn } from '../stored-session.ts';
import type { Reply } from './reply.ts';

/** One turn in words, as a node takes it for repair. */
export interface RememberedTurn {
  readonly turn: number;
  readonly context_id: string;
  readonly system?: string | undefined;
  readonly prompt: string;
  readonly reply: string;
}

/** What is lost with a node is its last seconds; a node takes up to 32 turns of 262,144 characters. */
const TURNS_MAX = 8;
const CHARS_MAX = 65_536;

/**
 * The last turns of a session in words, oldest first and one after the other, so that they can be handed over should they be
 * lost. Bounded; what is forgotten first is the oldest.
 */
export class RememberedTurns {
  #turns: RememberedTurn[];

  constructor(turns: readonly RememberedTurn[] = []) {
    this.#turns = [];
    for (const turn of turns) this.#add(turn);
  }

  get all(): readonly RememberedTurn[] {
    return this.#turns;
  }

  /** Those that end with the turn named; none where they do not. */
  upTo(turn: number, contextId: string | undefined): readonly RememberedTurn[] {
    const last = this.#turns.at(-1);
    return last?.turn === turn && last.context_id === contextId ? this.#turns : [];
  }

  answered({ turn, contextId, text }: Reply, { prompt, system }: { prompt: string; system: string | undefined }): void {
    this.#add({ turn, context_id: contextId, ...(system !== undefined && { system }), prompt, reply: text });
  }

  /** Turns as a node has stored them take the place of what was remembered. */
  read(line: readonly StoredTurn[]): void {
    this.#turns = [];
    for (const { turn, contextId, system, user, reply, textError } of line.slice(-TURNS_MAX)) {
      // Of a turn that is not in words there is nothing to hand over, and so of none before it.
      if (textError !== undefined) this.#turns = [];
      else this.#add({ turn, context_id: contextId, ...(system !== undefined && { system }), prompt: user, reply });
    }
  }

  #add(added: RememberedTurn): void {
    const before = this.#turns.at(-1);
    if (before !== undefined && before.turn !== added.turn - 1) this.#turns = [];
    this.#turns.push(added);
    let chars = this.#turns.reduce((sum, turn) => sum + charsOf(turn), 0);
    while (this.#turns.length > TURNS_MAX || chars > CHARS_MAX) chars -= charsOf(this.#turns.shift() as RememberedTurn);
  }
}

function charsOf({ system = '', prompt, reply }: RememberedTurn): number {
  return system.length + prompt.length + reply.length;
}

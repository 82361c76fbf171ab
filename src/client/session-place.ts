import type { SeenOptions } from './session-directory.ts';
import type { StoredTurn } from './stored-session.ts';
import type { Reply } from './turn/reply.ts';

/**
 * How far a session is: the turn counter (paper §3.4). A turn counts once a node has acknowledged it, and the context id tells
 * of which branch it is.
 */
export class SessionPlace {
  #turn: number;
  #contextId: string | undefined;

  constructor({
    turn = 0,
    contextId,
  }: { readonly turn?: number | undefined; readonly contextId?: string | undefined }) {
    this.#turn = turn;
    this.#contextId = contextId;
  }

  /** Turns acknowledged so far. */
  get turn(): number {
    return this.#turn;
  }

  /** Of the last of them. */
  get contextId(): string | undefined {
    return this.#contextId;
  }

  /** This session's own writes, which whatever is asked of a node must see. */
  seen(maxWaitMs: number | undefined): SeenOptions {
    return this.#turn === 0 ? {} : { turn: this.#turn, contextId: this.#contextId, maxWaitMs };
  }

  acknowledged({ turn, contextId }: Reply): void {
    this.#turn = turn;
    this.#contextId = contextId;
  }

  /** Takes over a line that holds all that was acknowledged; false, and nothing changes, when it does not. */
  goForward(turns: readonly StoredTurn[]): boolean {
    const own = turns.find(({ turn }) => turn === this.#turn);
    const holdsOwn = own !== undefined && [undefined, own.contextId, own.repairs].includes(this.#contextId);
    if (this.#turn > 0 && !holdsOwn) return false;
    this.goTo(turns);
    return true;
  }

  /** Takes over a line, whatever was acknowledged. */
  goTo(turns: readonly StoredTurn[]): void {
    const last = turns.at(-1);
    this.#turn = last?.turn ?? 0;
    this.#contextId = last?.contextId;
  }
}

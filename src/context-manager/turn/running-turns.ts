import { DiscedgeError } from '../../domain/errors.ts';
import { parseSessionKeyText, type SessionKeyText, type UserId } from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/turn-account.ts';
import type { Clock } from '../../environment/environment.ts';
import { within } from '../../waiting/within.ts';
import { type Cancelling, RunningTurn } from './running-turn.ts';

export interface RunningTurnsOptions {
  readonly turnsInFlightMax: number;
  readonly finishAbandonedMs: number;
}

/** Who waits for a turn, and to whom it is counted. */
export interface TurnOwner {
  readonly gone: AbortSignal;
  readonly account?: TurnAccount | undefined;
  readonly userId?: UserId | undefined;
}

export function ownerOf({ gone, account }: Omit<TurnOwner, 'userId'>, userId: UserId | undefined): TurnOwner {
  return { gone, account, userId };
}

/**
 * How long a turn may take to end once it has been stopped. Ending takes milliseconds; more means that something below
 * it hangs, or stores, which nothing stops, and the store's closing waits for what it has begun.
 */
export const STOPPED_TURN_MS = 2_000;

/**
 * `nothing`: there was no turn. `stopped`: nothing is stored of any there was. `kept`: one was too late to stop, or had been
 * answered before, or has not ended within {@link STOPPED_TURN_MS}.
 */
export type Cancelled = 'nothing' | 'stopped' | 'kept';

/** The turns in flight on this node, waiting ones included: how many there may be, and how they are stopped. */
export class RunningTurns {
  readonly #clock: Clock;
  readonly #options: RunningTurnsOptions;
  /** Each with whether it was refused, once it has ended. */
  readonly #turns = new Map<RunningTurn, Promise<boolean>>();
  readonly #idle: Array<() => void> = [];
  #onBegin: ReadonlyArray<() => void> = [];
  #closing = false;

  constructor(clock: Clock, options: RunningTurnsOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  get size(): number {
    return this.#turns.size;
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** Whether anything is under way that may store something of the session. */
  has(keyText: SessionKeyText): boolean {
    return [...this.#turns.keys()].some((turn) => turn.keyText === keyText);
  }

  /** Told of every turn that begins. */
  onBegin(listener: () => void): void {
    this.#onBegin = [...this.#onBegin, listener];
  }

  /** Resolves once there is none. */
  async whenIdle(): Promise<void> {
    while (this.#turns.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Throws `overloaded` or `shutting_down` where another turn would not be taken now. */
  requireRoom(): void {
    if (this.#closing) throw shuttingDown();
    if (this.#turns.size < this.#options.turnsInFlightMax) return;
    throw new DiscedgeError('overloaded', `the node has ${this.#turns.size} turns in flight, which is its limit`, {
      retryAfterMs: 1000,
    });
  }

  /** Throws as {@link requireRoom}, and `rate_limited`, instead of running the task. */
  async run<T>(
    keyText: SessionKeyText | undefined,
    { gone, account, userId }: TurnOwner,
    task: (turn: RunningTurn) => Promise<T>,
  ): Promise<T> {
    this.requireRoom();
    const leave = account?.enter(userId);
    const { finishAbandonedMs } = this.#options;
    const turn = new RunningTurn({ keyText, gone, clock: this.#clock, finishAbandonedMs });
    const running = task(turn);
    const refused = running.then(
      () => false,
      () => true,
    );
    this.#turns.set(turn, refused);
    for (const began of this.#onBegin) began();
    try {
      return await running;
    } finally {
      turn.end();
      leave?.();
      this.#turns.delete(turn);
      if (this.#turns.size === 0) for (const wake of this.#idle.splice(0)) wake();
    }
  }

  /**
   * Stops the turns of a session: the one that runs and those that wait behind it. True when there was one; what is
   * being committed is not stopped and does not count.
   */
  stop(keyText: SessionKeyText, reason: DiscedgeError): boolean {
    let stopped = false;
    for (const turn of this.#turns.keys()) {
      if (turn.keyText === keyText && turn.stop(reason)) stopped = true;
    }
    return stopped;
  }

  /** The same for all sessions of a user. */
  stopUser(userId: UserId, reason: DiscedgeError): void {
    for (const turn of this.#turns.keys()) {
      if (turn.keyText !== undefined && parseSessionKeyText(turn.keyText).userId === userId) turn.stop(reason);
    }
  }

  /** As its owner asks: stops the turns of a session, save those whose reply is stored, or is being stored. */
  async cancel(keyText: SessionKeyText, reason: DiscedgeError): Promise<Cancelled> {
    const turns = [...this.#turns].filter(([turn]) => turn.keyText === keyText);
    if (turns.length === 0) return 'nothing';
    const found: Cancelling[] = turns.map(([turn]) => turn.cancel(reason));
    if (found.includes('too late')) return 'kept';
    const looked = Promise.all(turns.map(([_, refused], at) => found[at] === 'stopped' || refused));
    const whenLate = () => [false];
    const all = await within({ clock: this.#clock, waitMs: STOPPED_TURN_MS }, looked, whenLate);
    return all.every((stopped) => stopped) ? 'stopped' : 'kept';
  }

  /**
   * Admits nothing more and resolves when all turns have ended; those still there after `graceMs` are stopped, and no
   * longer waited for after another {@link STOPPED_TURN_MS}.
   */
  async drain(graceMs: number): Promise<void> {
    this.#closing = true;
    if (this.#turns.size === 0) return;
    const clock = this.#clock;
    const idle = new Promise<void>((resolve) => this.#idle.push(resolve));
    await within({ clock, waitMs: graceMs }, idle, () => {
      for (const turn of this.#turns.keys()) turn.stop(shuttingDown());
      return within({ clock, waitMs: STOPPED_TURN_MS }, idle, () => {});
    });
  }
}

function shuttingDown(): DiscedgeError {
  return new DiscedgeError('shutting_down', 'the node is stopping; ask another one');
}

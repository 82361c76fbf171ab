import { DiscedgeError } from '../../domain/errors.ts';
import { parseSessionKeyText, type SessionKeyText, type UserId } from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/principals/turn-account.ts';
import type { Clock } from '../../environment/environment.ts';
import { within } from '../../waiting/within.ts';
import { type Cancelling, RunningTurn } from './running-turn.ts';
import { type Share, ShareCounts } from './share.ts';

export interface RunningTurnsOptions {
  readonly turnsInFlightMax: number;
  readonly finishAbandonedMs: number;
}

/** Who waits for a turn, and to whom it is counted. */
export interface TurnOwner {
  readonly gone: AbortSignal;
  readonly account?: TurnAccount | undefined;
  /** Whose share of the node it takes, where it is counted to no account. */
  readonly principal?: string | undefined;
  readonly userId?: UserId | undefined;
}

export function ownerOf({ gone, account }: Omit<TurnOwner, 'userId'>, userId: UserId | undefined): TurnOwner {
  return { gone, account, userId };
}

/** The same for what takes a share of the node and is not counted as a turn. */
export function sharerOf({ gone, account }: Omit<TurnOwner, 'userId'>, userId: UserId | undefined): TurnOwner {
  return { gone, principal: account?.principal, userId };
}

/**
 * How long a turn may take to end once it has been stopped. Ending takes milliseconds; more means that something below
 * it hangs, or stores, which nothing stops, and the store's closing waits for what it has begun.
 */
export const STOPPED_TURN_MS = 2_000;

/** The last one in so many of the turns in flight is for those alone who have fewer of them than others: they find room at any time. */
const WITHIN_SHARES_ONLY = 4;

/**
 * `nothing`: there was no turn. `stopped`: nothing is stored of any there was. `kept`: one was too late to stop, or had been
 * answered before, or has not ended within {@link STOPPED_TURN_MS}.
 */
export type Cancelled = 'nothing' | 'stopped' | 'kept';

/** The turns in flight on this node, waiting ones included: how many there may be, whose, and how they are stopped. */
export class RunningTurns {
  readonly #clock: Clock;
  readonly #options: RunningTurnsOptions;
  /** As many are let in whoever's they are. */
  readonly #forAll: number;
  /** Each with whether it was refused, once it has ended. */
  readonly #turns = new Map<RunningTurn, Promise<boolean>>();
  /** Of turns in flight, but for those that have given way and are about to end. */
  readonly #shares = new ShareCounts();
  readonly #givenWay = new Set<RunningTurn>();
  readonly #idle: Array<() => void> = [];
  #onBegin: ReadonlyArray<() => void> = [];
  #onGaveWay: () => void = () => {};
  #closing = false;

  constructor(clock: Clock, options: RunningTurnsOptions) {
    this.#clock = clock;
    this.#options = options;
    const { turnsInFlightMax } = options;
    this.#forAll = turnsInFlightMax - Math.floor(turnsInFlightMax / WITHIN_SHARES_ONLY);
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

  /** Told of every turn that is stopped for another's. */
  onGaveWay(listener: () => void): void {
    this.#onGaveWay = listener;
  }

  /** Resolves once there is none. */
  async whenIdle(): Promise<void> {
    while (this.#turns.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /**
   * Throws `overloaded` or `shutting_down` where another turn of that share would not be taken now; where its user is not known yet,
   * one of any user. Returns the turn that would have to give way for it, if any.
   */
  requireRoom(share: Share): RunningTurn | undefined {
    if (this.#closing) throw shuttingDown();
    const inFlight = this.#turns.size - this.#givenWay.size;
    if (inFlight < this.#forAll) return undefined;
    if (!this.#shares.isWithinShare(share)) throw overloaded(`the node has ${inFlight} turns in flight`);
    const givesWay = this.#whichGivesWay(share);
    if (givesWay !== undefined || inFlight < this.#options.turnsInFlightMax) return givesWay;
    throw overloaded(`the node works on ${inFlight} turns, which is its limit`);
  }

  /** Throws as {@link requireRoom}, and `rate_limited`, instead of running the task. */
  async run<T>(
    keyText: SessionKeyText | undefined,
    { gone, account, principal = account?.principal ?? '', userId }: TurnOwner,
    task: (turn: RunningTurn) => Promise<T>,
  ): Promise<T> {
    const share = { principal, userId };
    const givesWay = this.requireRoom(share);
    const leave = account?.enter(userId);
    if (givesWay !== undefined) this.#giveWay(givesWay);
    this.#shares.add(share);
    const { finishAbandonedMs } = this.#options;
    const turn = new RunningTurn({ keyText, share, gone, clock: this.#clock, finishAbandonedMs });
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
      if (!this.#givenWay.delete(turn)) this.#shares.remove(turn);
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
   * Of turns that only wait, the newest of whoever has most in flight: of another principal that has more than this one would have, else
   * of another user of this one.
   */
  #whichGivesWay(share: Share): RunningTurn | undefined {
    // They end at once, but for what hangs below them.
    if (this.#givenWay.size >= this.#options.turnsInFlightMax) return undefined;
    const shares = this.#shares;
    const [principalTurns, userTurns] = [shares.ofPrincipal(share) + 1, shares.ofUser(share) + 1];
    let found: { readonly turn: RunningTurn; readonly rank: readonly [number, number] } | undefined;
    for (const turn of this.#turns.keys()) {
      if (!turn.givesWay || this.#givenWay.has(turn)) continue;
      const ofUser = shares.ofUser(turn);
      const isOther = turn.principal !== share.principal;
      const ofOther = isOther ? shares.ofPrincipal(turn) : 0;
      if (isOther ? ofOther <= principalTurns : ofUser <= userTurns) continue;
      if (found === undefined || ofOther > found.rank[0] || (ofOther === found.rank[0] && ofUser >= found.rank[1]))
        found = { turn, rank: [ofOther, ofUser] };
    }
    return found?.turn;
  }

  #giveWay(turn: RunningTurn): void {
    this.#givenWay.add(turn);
    this.#shares.remove(turn);
    turn.stop(overloaded('the node is full, and others have fewer turns in flight'));
    this.#onGaveWay();
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

function overloaded(why: string): DiscedgeError {
  return new DiscedgeError('overloaded', `${why}; send this again later`, { retryAfterMs: 1000 });
}

function shuttingDown(): DiscedgeError {
  return new DiscedgeError('shutting_down', 'the node is stopping; ask another one');
}

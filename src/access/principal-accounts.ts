import { DiscedgeError } from '../domain/errors.ts';
import type { UserId } from '../domain/identifiers.ts';
import { LIMIT_NAMES, type Limits } from '../domain/principals/limits.ts';
import type { Principal } from '../domain/principals/principal.ts';
import { TokenBucket } from '../domain/principals/token-bucket.ts';
import type { TurnAccount } from '../domain/principals/turn-account.ts';
import type { Clock } from '../environment/environment.ts';

/** Some hundred bytes each. A node serves fewer within a minute, and an account that was idle for one is as good as new. */
const ACCOUNTS_MAX = 10_000;
/** When it makes sense to try again where a turn has to end first, which nobody can foretell. */
const TURN_RETRY_MS = 1_000;
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** How much of a limit is left, for headers. */
export interface Allowance {
  readonly limit: number;
  readonly remaining: number;
  /** Until all of it is left again. */
  readonly fullAfterMs: number;
}

/** What a principal has used, and what of it is left. */
export interface Account extends TurnAccount {
  /** False: nothing limits the principal, and nothing of it is counted. */
  readonly isLimited: boolean;
  /** Counts a request. Throws `rate_limited`; then it is not counted, so that trying on keeps nobody out. */
  admit(): void;
  readonly requests: Allowance | undefined;
  readonly ids: Allowance | undefined;
}

/** What principals have used of their limits: those of the node, and in place of each what the principal has of its own. */
export class PrincipalAccounts {
  readonly #ofNode: Limits;
  readonly #clock: Clock;
  /** By the principal's name; those used longest ago first. */
  readonly #accounts = new Map<string, LimitedAccount>();

  constructor(ofNode: Limits, clock: Clock) {
    this.#ofNode = ofNode;
    this.#clock = clock;
  }

  of({ name, limits: own }: Principal): Account {
    if (own === undefined && Object.keys(this.#ofNode).length === 0) return new UnlimitedAccount(name);
    const known = this.#accounts.get(name);
    const limits = { own, all: { ...this.#ofNode, ...own } };
    const account = known?.isOf(own) ? known : new LimitedAccount(name, limits, this.#clock);
    this.#accounts.delete(name);
    this.#accounts.set(name, account);
    if (this.#accounts.size > ACCOUNTS_MAX) this.#accounts.delete(this.#accounts.keys().next().value as string);
    return account;
  }

  get size(): number {
    return this.#accounts.size;
  }
}

const NO_LIMITS: Limits = {};
const NOTHING = () => {};

class UnlimitedAccount implements Account {
  readonly isLimited = false;
  readonly principal: string;
  readonly limits = NO_LIMITS;
  readonly requests = undefined;
  readonly ids = undefined;

  constructor(principal: string) {
    this.principal = principal;
  }

  admit(): void {}

  requireTurn(): void {}

  enter(): () => void {
    return NOTHING;
  }

  reserve(): undefined {}
}

class LimitedAccount implements Account {
  readonly isLimited = true;
  readonly principal: string;
  readonly limits: Limits;
  readonly #own: Limits | undefined;
  readonly #clock: Clock;
  readonly #requests: TokenBucket | undefined;
  readonly #ids: TokenBucket | undefined;
  #turns = 0;
  /** Of users with any. */
  readonly #turnsOf = new Map<UserId, number>();

  /** `own`: of the principal; `all`: with the node's, where it has none. */
  constructor(principal: string, { own, all }: { own: Limits | undefined; all: Limits }, clock: Clock) {
    this.principal = principal;
    this.#own = own;
    this.limits = all;
    this.#clock = clock;
    this.#requests = bucket(all.requestsPerSecond, SECOND_MS, clock);
    this.#ids = bucket(all.idsPerMinute, MINUTE_MS, clock);
  }

  /** Whether it is still the account of a principal with these limits of its own. */
  isOf(own: Limits | undefined): boolean {
    return own === this.#own || LIMIT_NAMES.every((name) => own?.[name] === this.#own?.[name]);
  }

  admit(): void {
    const bucket = this.#requests;
    if (bucket === undefined) return;
    const nowMs = this.#clock.monotonic();
    const waitMs = bucket.msUntil(1, nowMs);
    if (waitMs > 0) throw limited(`the limit is ${bucket.capacity} requests a second`, waitMs);
    bucket.spend(1, nowMs);
  }

  requireTurn(userId: UserId | undefined): void {
    const { concurrentTurns = Number.POSITIVE_INFINITY, userTurns = Number.POSITIVE_INFINITY } = this.limits;
    this.#requireIds();
    if (this.#turns >= concurrentTurns) throw limited(`the limit is ${concurrentTurns} turns at once`, TURN_RETRY_MS);
    if (this.#ofUser(userId) >= userTurns)
      throw limited(`the limit is ${userTurns} turns at once of one user`, TURN_RETRY_MS);
  }

  enter(userId: UserId | undefined): () => void {
    this.requireTurn(userId);
    this.#turns++;
    if (userId !== undefined) this.#turnsOf.set(userId, this.#ofUser(userId) + 1);
    return () => this.#leave(userId);
  }

  reserve(ids: number): ((spentIds: number) => void) | undefined {
    const bucket = this.#ids;
    if (bucket === undefined) return undefined;
    const nowMs = this.#requireIds();
    // No turn needs more than all there is, or one with a long prompt would never be taken.
    const reserved = Math.min(ids, bucket.capacity);
    bucket.spend(reserved, nowMs);
    return (spentIds) => bucket.spend(spentIds - reserved, this.#clock.monotonic());
  }

  get requests(): Allowance | undefined {
    return this.#requests && allowance(this.#requests, this.#clock);
  }

  get ids(): Allowance | undefined {
    return this.#ids && allowance(this.#ids, this.#clock);
  }

  #requireIds(): number {
    const nowMs = this.#clock.monotonic();
    const waitMs = this.#ids?.msUntil(1, nowMs) ?? 0;
    if (waitMs > 0) throw limited(`the limit is ${this.#ids?.capacity} ids a minute`, waitMs);
    return nowMs;
  }

  #leave(userId: UserId | undefined): void {
    this.#turns--;
    if (userId === undefined) return;
    const left = this.#ofUser(userId) - 1;
    if (left > 0) this.#turnsOf.set(userId, left);
    else this.#turnsOf.delete(userId);
  }

  #ofUser(userId: UserId | undefined): number {
    return userId === undefined ? 0 : (this.#turnsOf.get(userId) ?? 0);
  }
}

function bucket(limit: number | undefined, everyMs: number, clock: Clock): TokenBucket | undefined {
  return limit === undefined
    ? undefined
    : new TokenBucket({ capacity: limit, perMs: limit / everyMs }, clock.monotonic());
}

function allowance(bucket: TokenBucket, clock: Clock): Allowance {
  const nowMs = clock.monotonic();
  return {
    limit: bucket.capacity,
    remaining: Math.max(0, Math.floor(bucket.level(nowMs))),
    fullAfterMs: bucket.msUntil(bucket.capacity, nowMs),
  };
}

function limited(why: string, retryAfterMs: number): DiscedgeError {
  return new DiscedgeError('rate_limited', `too much at once: ${why}; try again later`, { retryAfterMs });
}

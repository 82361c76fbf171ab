// Tries to get more out of a node than a principal's limits allow: by many requests, by turns at once, of one user of a service, by
// ids, and by many names; and to be charged for what was not had.
import { beforeEach, describe, expect, it } from 'vitest';
import { PrincipalAccounts } from '../../../src/access/principal-accounts.ts';
import type { DiscedgeError } from '../../../src/domain/errors.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';
import type { Limits } from '../../../src/domain/principals/limits.ts';
import type { Principal } from '../../../src/domain/principals/principal.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const principal = (name: string, limits?: Limits): Principal => ({
  ...{ name, scopes: new Set(['service'] as const), userId: name as UserId },
  ...(limits && { limits }),
});
const ada = 'ada' as UserId;
const bob = 'bob' as UserId;
let environment: ReturnType<typeof virtualEnvironment>;
beforeEach(() => {
  environment = virtualEnvironment();
});

function accountOf(limits: Limits) {
  return new PrincipalAccounts(limits, environment.clock).of(principal('p'));
}

function refusal(act: () => unknown): Pick<DiscedgeError, 'code' | 'retryAfterMs'> | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    const { code, retryAfterMs } = error as DiscedgeError;
    return { code, retryAfterMs };
  }
}

describe('requests', () => {
  it('are admitted as many at once as there are in a second, then as time goes', async () => {
    const account = accountOf({ requestsPerSecond: 4 });
    for (let i = 0; i < 4; i++) account.admit();
    expect(refusal(() => account.admit())).toEqual({ code: 'rate_limited', retryAfterMs: 250 });
    expect(account.requests).toEqual({ limit: 4, remaining: 0, fullAfterMs: 1_000 });
    await environment.advance(250);
    account.admit();
    expect(refusal(() => account.admit())?.code).toBe('rate_limited');
  });
});

describe('turns at once', () => {
  it('are so many of a principal, and of each of its users', () => {
    const account = accountOf({ concurrentTurns: 3, userTurns: 2 });
    const leave = account.enter(ada);
    account.enter(ada);
    expect(refusal(() => account.enter(ada))?.code).toBe('rate_limited');
    account.enter(bob);
    expect(refusal(() => account.enter(bob))?.code).toBe('rate_limited');
    leave();
    account.enter(ada);
    expect(refusal(() => account.enter(undefined))?.code).toBe('rate_limited');
  });
});

describe('ids', () => {
  it('are reserved for a turn, and settled by what it took', () => {
    const account = accountOf({ idsPerMinute: 100 });
    const settle = account.reserve(80);
    expect(account.ids?.remaining).toBe(20);
    settle?.(10);
    expect(account.ids?.remaining).toBe(90);
  });

  it('let a turn through that needs more than there ever is, and none after it until that is paid back', async () => {
    const account = accountOf({ idsPerMinute: 60 });
    account.reserve(1_000)?.(120);
    expect(refusal(() => account.enter(ada))).toEqual({ code: 'rate_limited', retryAfterMs: 61_000 });
    expect(refusal(() => account.reserve(1))?.code).toBe('rate_limited');
    await environment.advance(61_000);
    account.enter(ada);
    account.reserve(1);
  });

  it('let no second turn through while those reserved for the first are all there are', () => {
    const account = accountOf({ idsPerMinute: 60 });
    const settle = account.reserve(1_000);
    expect(refusal(() => account.reserve(1))?.code).toBe('rate_limited');
    settle?.(0);
    account.reserve(1);
  });
});

describe('accounts', () => {
  it('are of principals, each its own, with its own limits before the node’s', () => {
    const accounts = new PrincipalAccounts({ requestsPerSecond: 1 }, environment.clock);
    accounts.of(principal('a')).admit();
    accounts.of(principal('b')).admit();
    expect(refusal(() => accounts.of(principal('a')).admit())?.code).toBe('rate_limited');
    const larger = accounts.of(principal('c', { requestsPerSecond: 2, sessions: 7 }));
    expect(larger.limits).toEqual({ requestsPerSecond: 2, sessions: 7 });
  });

  it('stay as they are while their limits do, in another object as well', () => {
    const accounts = new PrincipalAccounts({}, environment.clock);
    const unlimited = accounts.of(principal('a'));
    expect(unlimited).toMatchObject({ isLimited: false, principal: 'a', limits: {} });
    expect([unlimited.reserve(1_000), unlimited.requests, unlimited.ids]).toEqual([undefined, undefined, undefined]);
    expect(accounts.size).toBe(0);
    const first = accounts.of(principal('a', { requestsPerSecond: 1 }));
    expect(accounts.of(principal('a', { requestsPerSecond: 1 }))).toBe(first);
    expect(accounts.of(principal('a', { requestsPerSecond: 2 }))).not.toBe(first);
  });

  it('are so many at most, and those in use stay', () => {
    const accounts = new PrincipalAccounts({ requestsPerSecond: 1 }, environment.clock);
    const used = accounts.of(principal('used'));
    for (let i = 0; i < 30_000; i++) {
      accounts.of(principal(`p${i}`));
      if (i % 100 === 0) accounts.of(principal('used'));
    }
    expect(accounts.size).toBe(10_000);
    expect(accounts.of(principal('used'))).toBe(used);
  });
});

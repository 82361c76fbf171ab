// Which sessions wait to be warmed: tries to make the queue grow, starve what is new, hold what is gone, or warm a session twice.
import { describe, expect, test } from 'vitest';
import { WarmingBudget } from '../../../src/context-manager/warmer/warming-budget.ts';
import { AWAITED_OF_USER_MAX, STILL_MS, WarmingPlan } from '../../../src/context-manager/warmer/warming-plan.ts';
import type { WarmingPolicy } from '../../../src/context-manager/warmer/warming-policy.ts';
import { EXPECTED_MAX } from '../../../src/context-manager/warmer/warming-queue.ts';
import { type NodeId, type SessionKey, sessionKeyText, type UserId } from '../../../src/domain/identifiers.ts';
import { sessionKey } from '../../../tools/turn-records.ts';

const ALL: WarmingPolicy = { expect: () => ({ chance: 1, isWorth: true }) };

function planOf(policy: WarmingPolicy = ALL) {
  const clock = { ms: 0, now: () => clock.ms };
  const plan = new WarmingPlan(policy, clock);
  const seen = (session: string, turn: number, { node = 'e2', from = 'elsewhere' as 'here' | 'elsewhere' } = {}) =>
    plan.seen(sessionKey(session), { turn, node: node as NodeId, atMs: clock.ms, nextNodes: [] }, from);
  const waiting = () => {
    const keys: SessionKey[] = [];
    for (let next = plan.take(); next !== undefined; next = plan.take()) keys.push(next.key);
    return keys.map(({ sessionId }) => sessionId).join(' ');
  };
  return { plan, clock, seen, waiting };
}

test('the session heard of last goes first, and each waits once', () => {
  const { seen, waiting } = planOf();
  for (const session of ['a', 'b', 'c']) seen(session, 1);
  seen('a', 2);
  expect(waiting()).toBe('a c b');
});

test('of thousands at once the newest wait, and the others are counted', () => {
  const { plan, seen, waiting } = planOf();
  for (let n = 0; n < 5_000; n++) seen(`s${n}`, 1);
  expect(plan.queued).toBe(EXPECTED_MAX);
  expect(plan.dropped).toBe(5_000 - EXPECTED_MAX);
  expect(waiting().startsWith('s4999 s4998 s4997')).toBe(true);
});

test('turns of long ago, which come after a cut, have nothing warmed unless their client comes', () => {
  const { plan, clock, seen, waiting } = planOf();
  const late = (session: string, atMs: number) =>
    plan.seen(sessionKey(session), { turn: 1, node: 'e2' as NodeId, atMs, nextNodes: [] }, 'elsewhere');
  clock.ms = 2 * STILL_MS;
  late('old', STILL_MS);
  late('recent', STILL_MS + 1);
  plan.awaits(sessionKey('said'));
  late('said', 0);
  seen('new', 1);
  expect(waiting()).toBe('new said recent');
});

test('what clients say takes the place of nothing that records asked for', () => {
  const { plan, seen, waiting } = planOf();
  for (let n = 0; n < EXPECTED_MAX; n++) seen(`s${n}`, 1);
  for (let n = 0; n < 100; n++) plan.coming(sessionKey(`said${n}`));
  expect(plan.dropped).toBe(100);
  expect(waiting()).toMatch(/^s255 .* s0$/);
});

test('of a session that is not here its record is awaited, of few for each user, for a minute', () => {
  const { plan, clock, seen, waiting } = planOf({ expect: () => ({ chance: 0, isWorth: false }) });
  const asked = Array.from({ length: 1_000 }, (_, n) => plan.awaits(sessionKey(`s${n}`))).filter(Boolean);
  expect(asked).toHaveLength(AWAITED_OF_USER_MAX);
  expect(plan.awaits({ ...sessionKey('other'), userId: 'another' as UserId })).toBe(true);
  expect(plan.queued).toBe(0);
  seen('s0', 1);
  seen('s999', 1);
  expect(waiting()).toBe('s0');
  clock.ms += 60_000;
  expect(plan.awaits(sessionKey('s999'))).toBe(true);
  seen('s1', 1);
  expect(waiting()).toBe('');
});

test('a turn taken here, and a session that is gone, wait no longer', () => {
  const { plan, seen, waiting } = planOf();
  for (const session of ['a', 'b', 'c']) seen(session, 1);
  seen('a', 2, { from: 'here' });
  plan.removed(sessionKeyText(sessionKey('b')));
  expect(waiting()).toBe('c');
});

test('a record that comes late teaches nothing, and still has its session warmed', () => {
  const tracks: string[] = [];
  const learn: WarmingPolicy['learn'] = ({ visits }) => void tracks.push(visits.map(({ node }) => node).join(' '));
  const { seen, waiting } = planOf({ ...ALL, learn });
  seen('a', 1, { node: 'e1' });
  seen('a', 3, { node: 'e3' });
  waiting();
  seen('a', 2, { node: 'e2' });
  expect(waiting()).toBe('a');
  seen('a', 4, { node: 'e1' });
  expect(tracks).toEqual(['e1', 'e3', 'e3 e1']);
});

test('a policy hears of sessions that are followed no longer, the stillest first, and follows a bounded number', () => {
  const ended: string[] = [];
  const { plan, seen } = planOf({ ...ALL, ended: ({ visits }) => void ended.push(visits[0]?.node ?? '') });
  for (let n = 0; n < 5_000; n++) seen(`s${n}`, 1, { node: `e${n}` });
  expect(ended.length).toBe(5_000 - 4_096);
  expect(ended[0]).toBe('e0');
  plan.removed(sessionKeyText(sessionKey('s4999')));
  plan.removed(sessionKeyText(sessionKey('s4999')));
  expect(ended.at(-1)).toBe('e4999');
  expect(ended.length).toBe(905);
});

test('a client that says a thousand times that it comes waits once, and is heard again later', () => {
  const { plan, clock, waiting } = planOf({ expect: () => undefined });
  for (let n = 0; n < 1_000; n++) plan.coming(sessionKey('a'));
  expect(waiting()).toBe('a');
  for (let n = 0; n < 1_000; n++) plan.coming(sessionKey('a'));
  expect(waiting()).toBe('');
  clock.ms += 5_000;
  plan.coming(sessionKey('a'));
  expect(waiting()).toBe('a');
});

describe('the budget', () => {
  const a = sessionKeyText(sessionKey('a'));
  const b = sessionKeyText(sessionKey('b'));

  test('ids for each second: who has evaluated many waits as long', () => {
    const budget = new WarmingBudget({ idsPerSecond: 100, kvBytes: undefined });
    expect(budget.waitMs(0)).toBe(0);
    budget.spend(a, 250, { nowMs: 0, bytesPerToken: 1 });
    expect(budget.waitMs(1_000)).toBe(1_500);
    expect(budget.waitMs(10_000)).toBe(0);
  });

  test('bytes of KV state: what was warmed longest ago is given up, and what was used counts no longer', () => {
    const budget = new WarmingBudget({ idsPerSecond: undefined, kvBytes: 1_000 });
    const size = { nowMs: 0, bytesPerToken: 10 };
    expect(budget.allows(101, 10)).toBe(false);
    expect(budget.spend(a, 60, size)).toEqual([]);
    expect(budget.spend(b, 60, size)).toEqual([a]);
    budget.release(b);
    expect(budget.spend(a, 90, size)).toEqual([]);
  });
});

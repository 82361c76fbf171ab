// Tries to make the pool hand a sequence to two generations, overtake, wait without bound, or give a session
// a sequence that costs more evaluation than another would have.
import { describe, expect, test } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { chooseSlot } from '../../../src/llm-service/embedded/sequence-choice.ts';
import { SequencePool, WAITING_GENERATIONS_MAX } from '../../../src/llm-service/embedded/sequence-pool.ts';
import { stateValue } from '../../../src/llm-service/state-value.ts';

const ids = (text: string) => [...text].map((letter) => letter.charCodeAt(0) as TokenId);
const sequence = (name: string, text: string) => ({ name, tokens: () => ids(text) });
const never = () => new AbortController().signal;
const request = (text: string, affinity?: string) => ({ prompt: ids(text), affinity });

function chosen(
  slots: [name: string, state: string, affinity: string | undefined, owner?: string][],
  prompt: string,
  affinity?: string,
  { owner, sharesOwners = false }: { readonly owner?: string; readonly sharesOwners?: boolean } = {},
) {
  const idle = slots.map(([name, state, affinity, owner], i) => {
    return { sequence: sequence(name, state), affinity, owner, returns: 0, usedAt: i };
  });
  const asked = { ...request(prompt, affinity), owner };
  return chooseSlot(idle, asked, { sharesOwners, now: slots.length }).sequence.name;
}

describe('the sequence for a generation', () => {
  test('is the one of its own session, however little it shares', () => {
    expect(
      chosen(
        [
          ['a', 'hello you', 'A'],
          ['b', '', 'B'],
          ['free', '', undefined],
        ],
        'hello you there',
        'B',
      ),
    ).toBe('b');
  });

  test('of two of its own session is the one that shares more', () => {
    expect(
      chosen(
        [
          ['a', 'hel', 'A'],
          ['b', 'hello', 'A'],
        ],
        'hello you',
        'A',
      ),
    ).toBe('b');
  });

  test("is another session's whose state is most of the prompt, as after a fork", () => {
    expect(
      chosen(
        [
          ['a', 'hello you', 'A'],
          ['free', '', undefined],
        ],
        'hello you there',
        'B',
      ),
    ).toBe('a');
  });

  test('is one whose state the prompt goes on from, however long it has become', () => {
    expect(
      chosen(
        [
          ['a', 'hello you', undefined],
          ['free', '', undefined],
        ],
        'hello you, and a much longer history after it',
      ),
    ).toBe('a');
  });

  test("is not another session's that shares a little", () => {
    expect(
      chosen(
        [
          ['a', 'hello you', 'A'],
          ['free', '', undefined],
        ],
        'hello, what is a robot?',
        'B',
      ),
    ).toBe('free');
  });

  test("is not a long session's for the sake of a short common start", () => {
    const long = `hello ${'x'.repeat(100)}`;
    expect(
      chosen(
        [
          ['a', long, 'A'],
          ['free', '', undefined],
        ],
        'hello b',
        'B',
      ),
    ).toBe('free');
  });

  test('is an empty one before one in use, and else the one used longest ago', () => {
    expect(
      chosen(
        [
          ['a', 'x', 'A'],
          ['b', '', undefined],
        ],
        'hello',
        'C',
      ),
    ).toBe('b');
    expect(
      chosen(
        [
          ['a', 'x', 'A'],
          ['b', 'y', 'B'],
        ],
        'hello',
        'C',
      ),
    ).toBe('a');
    expect(
      chosen(
        [
          ['a', 'x', 'A'],
          ['b', 'y', 'B'],
        ],
        'hello',
      ),
    ).toBe('a');
  });
});

describe("another user's state", () => {
  const slots: Parameters<typeof chosen>[0] = [
    ['a', 'hello you', 'A', 'ada'],
    ['free', '', undefined],
  ];

  test('is not gone on from, however much of the prompt it is', () => {
    expect(chosen(slots, 'hello you there', 'B', { owner: 'bob' })).toBe('free');
  });

  test('is, where that is switched on, and where it is the same user after all', () => {
    expect(chosen(slots, 'hello you there', 'B', { owner: 'bob', sharesOwners: true })).toBe('a');
    expect(chosen(slots, 'hello you there', 'B', { owner: 'ada' })).toBe('a');
  });
});

test('the state that is given up is the one worth least: short, long unused, never come back to', () => {
  const kept = (tokens: number, returns: number, usedAt: number) => stateValue({ tokens, returns, usedAt }, 10);
  expect(kept(100, 0, 5)).toBeLessThan(kept(200, 0, 5));
  expect(kept(100, 0, 4)).toBeLessThan(kept(100, 0, 5));
  expect(kept(100, 0, 5)).toBeLessThan(kept(100, 1, 5));
  const short = sequence('short', 'x');
  const long = sequence('long', 'y'.repeat(50));
  const held = (it: typeof short, usedAt: number) => ({ sequence: it, affinity: 'A', owner: 'u', returns: 0, usedAt });
  const asked = { ...request('hello', 'C'), owner: 'u' };
  expect(chooseSlot([held(long, 1), held(short, 3)], asked, { sharesOwners: false, now: 3 }).sequence).toBe(short);
});

describe('the pool', () => {
  test('gives each sequence to one generation at a time, in the order they came', async () => {
    const pool = new SequencePool([sequence('a', ''), sequence('b', '')]);
    const [first, second] = [await pool.acquire(request('1'), never()), await pool.acquire(request('2'), never())];
    expect(first.sequence).not.toBe(second.sequence);
    const order: string[] = [];
    const waiting = ['3', '4', '5'].map(async (text) => {
      const lease = await pool.acquire(request(text), never());
      order.push(text);
      lease.release();
    });
    await Promise.resolve();
    expect(order).toEqual([]);
    second.release();
    await Promise.all(waiting);
    expect(order).toEqual(['3', '4', '5']);
  });

  test('lends the sequence that goes next only while nothing runs, and only after a session has lost its own', async () => {
    const pool = new SequencePool([sequence('a', 'x')]);
    const turn = async (affinity: string) => (await pool.acquire(request('1', affinity), never())).release();
    await turn('A');
    expect(pool.leaseNextToGo()).toBeUndefined();
    const running = await pool.acquire(request('1', 'B'), never());
    expect(running.found?.affinity).toBe('A');
    expect(pool.leaseNextToGo()).toBeUndefined();
    running.release();
    const next = pool.leaseNextToGo();
    expect(next?.found?.affinity).toBe('B');
    next?.release();
    for (let calm = 0; calm < 5; calm++) await turn('B');
    expect(pool.leaseNextToGo()).toBeUndefined();
  });

  test('finds nothing any more of a session that is forgotten, idle or not', async () => {
    const pool = new SequencePool([sequence('a', 'x'), sequence('b', 'x')]);
    const [a, b] = [await pool.acquire(request('1', 'A'), never()), await pool.acquire(request('1', 'B'), never())];
    a.release();
    const [idle] = pool.forget((affinity) => affinity === 'A').idle;
    expect(idle?.isForgotten()).toBe(true);
    expect(idle?.found).toBeUndefined();
    idle?.release();
    expect(pool.forget((affinity) => affinity === 'B').idle).toEqual([]);
    expect(b.isForgotten()).toBe(true);
    b.release();
    expect((await pool.acquire(request('1', 'A'), never())).found).toBeUndefined();
    expect((await pool.acquire(request('1', 'B'), never())).found).toBeUndefined();
  });

  test('takes a second release for nothing', async () => {
    const pool = new SequencePool([sequence('a', '')]);
    const first = await pool.acquire(request('1'), never());
    first.release();
    const second = await pool.acquire(request('2'), never());
    first.release();
    let third = false;
    void pool.acquire(request('3'), never()).then(() => {
      third = true;
    });
    await new Promise(setImmediate);
    expect(third).toBe(false);
    second.release();
    await new Promise(setImmediate);
    expect(third).toBe(true);
  });

  test('prefers the sequence that was released longest ago', async () => {
    const pool = new SequencePool([sequence('a', 'x'), sequence('b', 'y')]);
    const [a, b] = [await pool.acquire(request('1'), never()), await pool.acquire(request('2'), never())];
    b.release();
    a.release();
    expect((await pool.acquire(request('3'), never())).sequence).toBe(b.sequence);
  });

  test('lets a waiting generation go when it is aborted, and serves the next', async () => {
    const pool = new SequencePool([sequence('a', '')]);
    const lease = await pool.acquire(request('1'), never());
    const abort = new AbortController();
    const aborted = pool.acquire(request('2'), abort.signal);
    const next = pool.acquire(request('3'), never());
    const reason = new Error('gone');
    abort.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    lease.release();
    await expect(next).resolves.toBeDefined();
    await expect(pool.acquire(request('4'), AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test('refuses more than it lets wait, and takes new ones once there is room', async () => {
    const pool = new SequencePool([sequence('a', '')]);
    const lease = await pool.acquire(request('1'), never());
    const waiting = Array.from({ length: WAITING_GENERATIONS_MAX }, () => pool.acquire(request('2'), never()));
    await expect(pool.acquire(request('3'), never())).rejects.toMatchObject({ code: 'llm_unavailable' });
    lease.release();
    await expect(waiting[0]).resolves.toBeDefined();
    void pool.acquire(request('4'), never());
    await expect(pool.acquire(request('5'), never())).rejects.toMatchObject({ code: 'llm_unavailable' });
  });
});

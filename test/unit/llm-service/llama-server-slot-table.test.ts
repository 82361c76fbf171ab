// Tries to make two sessions share a slot while another is free, to leave a place taken after an abort, to overtake who
// waited first, and to mistake a server that clears idle slots for one that keeps them (and the other way round).
import { describe, expect, test } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { type SlotLease, SlotTable } from '../../../src/llm-service/llama-server/slot-table.ts';

const sequence = (first: number, length: number): TokenId[] => Array.from({ length }, (_, i) => (first + i) as TokenId);

function table(slots: number) {
  const warnings: string[] = [];
  const slotTable = new SlotTable(slots, () => warnings.push('not kept'));
  const acquire = (
    affinity: string | undefined,
    prompt = sequence(0, 40),
    signal = new AbortController().signal,
  ): Promise<SlotLease> => slotTable.acquire({ affinity, prompt }, signal);
  /** One whole turn; the server finds all of the prefix, or `cachedTokens` of it. */
  const turn = async (affinity: string | undefined, { prompt = sequence(0, 40), cachedTokens = 40, at = 0 } = {}) => {
    const lease = await acquire(affinity, prompt);
    lease.release({ slot: lease.slot ?? at, held: prompt, cachedTokens });
    return lease.slot;
  };
  return { slotTable, warnings, acquire, turn };
}

describe('a slot', () => {
  test('is the same for a session as long as there are enough', async () => {
    const { turn } = table(3);
    const slots = [];
    for (const session of ['a', 'b', 'c', 'a', 'c', 'b', 'b']) slots.push(await turn(session));
    expect(slots).toEqual([0, 1, 2, 0, 2, 1, 1]);
  });

  test('of the session that was served longest ago goes to a new one', async () => {
    const { turn } = table(2);
    const slots = [];
    for (const session of ['a', 'b', 'a', 'c', 'a', 'b']) slots.push(await turn(session));
    expect(slots).toEqual([0, 1, 0, 1, 0, 1]);
  });

  test('is never given to two at once', async () => {
    const { acquire } = table(2);
    const first = await acquire('a');
    const second = await acquire('a');
    expect([first.slot, second.slot]).toEqual([0, 1]);
    first.release();
    expect((await acquire('b')).slot).toBe(0);
  });

  test('is left to the server for a request without affinity, and what became of it is remembered', async () => {
    const { turn } = table(2);
    await turn('a');
    await turn('b');
    expect(await turn(undefined, { at: 0 })).toBeUndefined();
    // Slot 0 holds something else now; slot 1 was used longer ago.
    expect(await turn('a')).toBe(1);
  });
});

describe('slots of sessions that are erased', () => {
  const ofAda = (affinity: string) => affinity.startsWith('ada');
  /** Erases, and says which were asked for; each stays until it is let go. */
  function erasing(slotTable: SlotTable) {
    const slots = new Map<number, (error?: Error) => void>();
    const erase = (slot: number) =>
      new Promise<void>((resolve, reject) => {
        slots.set(slot, (error) => (error === undefined ? resolve() : reject(error)));
      });
    return { slots, done: slotTable.eraseAll(ofAda, erase) };
  }

  test('are theirs and those of which nothing is known, and are nobody’s until they are empty', async () => {
    const { slotTable, acquire, turn } = table(3);
    expect([await turn('ada 1'), await turn('bob')]).toEqual([0, 1]);
    const { slots, done } = erasing(slotTable);
    expect([...slots.keys()]).toEqual([0, 2]);
    const [first, second] = [await acquire('cyd'), await acquire('dan')];
    expect([first.slot, second.slot]).toEqual([1, undefined]);
    for (const end of slots.values()) end();
    await done;
    expect((await acquire('eve')).slot).toBe(2);
  });

  test('are forgotten once they are empty, whatever has ended there meanwhile', async () => {
    const { slotTable, acquire } = table(1);
    const lease = await acquire('ada');
    const { slots, done } = erasing(slotTable);
    lease.release({ slot: 0, held: sequence(0, 40), cachedTokens: 0 });
    slots.get(0)?.();
    await done;
    const again = slotTable.leaseToWarm({ prompt: sequence(0, 40), affinity: 'ada', chance: 1 });
    expect(again).toMatchObject({ slot: 0, heldTokens: 0 });
  });

  test('that cannot be erased are told of once none is under way, and are used again', async () => {
    const { slotTable, acquire } = table(2);
    const { slots, done } = erasing(slotTable);
    let isOver = false;
    const failed = expect(done.finally(() => (isOver = true))).rejects.toThrow('gone');
    slots.get(0)?.(new Error('gone'));
    await new Promise(setImmediate);
    expect(isOver).toBe(false);
    slots.get(1)?.();
    await failed;
    expect([(await acquire('a')).slot, (await acquire('b')).slot]).toEqual([0, 1]);
  });
});

describe('waiting', () => {
  test('is first come first served, and its end is a free place', async () => {
    const { acquire } = table(1);
    const order: string[] = [];
    const first = await acquire('a');
    const waiters = ['b', 'c', 'd'].map(async (name) => {
      const lease = await acquire(name);
      order.push(name);
      lease.release();
      lease.release();
    });
    first.release();
    await Promise.all(waiters);
    expect(order).toEqual(['b', 'c', 'd']);
    const last = await acquire('e');
    let isFree = false;
    const next = acquire('f').then(() => {
      isFree = true;
    });
    // A place given back twice is still one place.
    await new Promise(setImmediate);
    expect(isFree).toBe(false);
    last.release();
    await next;
  });

  test('ends with the reason of its signal and gives the place to the next', async () => {
    const { acquire } = table(1);
    const first = await acquire('a');
    const controller = new AbortController();
    const gone = acquire('b', undefined, controller.signal);
    const next = acquire('c');
    const reason = new Error('gone');
    controller.abort(reason);
    await expect(gone).rejects.toBe(reason);
    first.release();
    expect((await next).slot).toBe(0);
    await expect(acquire('d', undefined, controller.signal)).rejects.toBe(reason);
  });

  test('ends when the service closes', async () => {
    const { slotTable, acquire } = table(1);
    await acquire('a');
    const waiting = acquire('b');
    const reason = new DiscedgeError('llm_unavailable', 'closed');
    slotTable.close(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(acquire('c')).rejects.toBe(reason);
  });

  test('is bounded', async () => {
    const { acquire } = table(1);
    await acquire('a');
    const waiting = Array.from({ length: 10_000 }, () => acquire('b'));
    await expect(acquire('b')).rejects.toMatchObject({ code: 'llm_unavailable' });
    expect(waiting).toHaveLength(10_000);
  });
});

describe('a server that clears idle slots', () => {
  test('is left to choose after two misses in a row', async () => {
    const { turn, warnings } = table(2);
    for (const session of ['a', 'b', 'a', 'b', 'a', 'b']) await turn(session, { cachedTokens: 0 });
    expect(warnings).toEqual(['not kept']);
    expect(await turn('a')).toBeUndefined();
  });

  test('is not what a restart looks like: one miss, then hits', async () => {
    const { turn, warnings } = table(2);
    for (let restart = 0; restart < 5; restart++) {
      for (const session of ['a', 'b']) await turn(session, { cachedTokens: 0 });
      for (const session of ['a', 'b', 'a', 'b']) await turn(session);
    }
    expect(warnings).toEqual([]);
    expect(await turn('a')).toBe(0);
  });

  test('is not what another prompt, a taken slot or an aborted turn looks like', async () => {
    const { acquire, turn, warnings } = table(2);
    for (let i = 0; i < 5; i++) {
      await turn('a', { prompt: sequence(1_000 * i, 40), cachedTokens: 0 });
      (await acquire('b')).release();
      await turn('b', { cachedTokens: 0, prompt: sequence(500_000 + 1_000 * i, 40) });
    }
    // Another request was put into the slot that this one had asked for.
    for (let i = 0; i < 3; i++) {
      const lease = await acquire('a', sequence(0, 40));
      await turn(undefined, { at: lease.slot ?? 0 });
      lease.release({ slot: lease.slot ?? 0, held: sequence(0, 40), cachedTokens: 0 });
    }
    expect(warnings).toEqual([]);
  });
});

// Tries to have the state of who is expected given up for that of who is not: in the sequence pool, in the slots of a server,
// among state files; and to have an expectation lost on the way, outlive the turn that it foresaw, or cost a file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { MeasuredSpeeds } from '../../../src/llm-service/embedded/kept-state/measured-speeds.ts';
import { StateKeeper } from '../../../src/llm-service/embedded/kept-state/state-keeper.ts';
import { StateShelf } from '../../../src/llm-service/embedded/kept-state/state-shelf.ts';
import type { PooledSequence } from '../../../src/llm-service/embedded/pooled-sequence.ts';
import { SequenceKeeping } from '../../../src/llm-service/embedded/sequence-keeping.ts';
import { SequencePool } from '../../../src/llm-service/embedded/sequence-pool.ts';
import { SlotTable } from '../../../src/llm-service/llama-server/slot-table.ts';
import { WarmAccount } from '../../../src/llm-service/warming/warm-account.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const never = () => new AbortController().signal;
const ids = (first: number, length = 40) => Array.from({ length }, (_, i) => (first + i) as TokenId);
const PROMPTS = { a: ids(0), b: ids(100), c: ids(200) } as const;
type Session = keyof typeof PROMPTS;

describe('a sequence', () => {
  /** Both held, `a` used longer ago. */
  async function pool() {
    const sequences = [PROMPTS.a, PROMPTS.b].map((state) => ({ tokens: () => state }));
    const pool = new SequencePool(sequences);
    const turn = async (affinity: Session) => {
      const lease = await pool.acquire({ prompt: PROMPTS[affinity], affinity }, never());
      lease.release();
      return lease;
    };
    for (const affinity of ['a', 'b'] as const) await turn(affinity);
    const warmed = (chance: number) => {
      const lease = pool.leaseToWarm({ prompt: PROMPTS.c, affinity: 'c', chance });
      lease?.release();
      return lease?.found?.affinity;
    };
    return { pool, turn, warmed };
  }

  test('of who is less expected is warmed in, and taken by a turn', async () => {
    const { pool: first, warmed } = await pool();
    first.expect('a', 0.9);
    first.expect('b', 0.1);
    expect(warmed(0.3)).toBe('b');
    const { pool: second, turn } = await pool();
    second.expect('a', 0.9);
    second.expect('b', 0.1);
    expect((await turn('c')).found?.affinity).toBe('b');
  });

  test('is worth what its returns tell again, once its session has had a turn', async () => {
    const { pool: held, turn, warmed } = await pool();
    held.expect('a', 0.9);
    held.expect('b', 0);
    await turn('b');
    // 0.9 of the one turn before the last, 0.67 of the last.
    expect(warmed(0.2)).toBeUndefined();
    expect(warmed(0.5)).toBe('a');
  });

  test('that is just being given back is expected, too', async () => {
    const { pool: held, warmed } = await pool();
    held.expect('a', 1);
    const lease = await held.acquire({ prompt: PROMPTS.b, affinity: 'b' }, never());
    held.expect('b', 0);
    lease.release();
    expect(warmed(0.1)).toBe('b');
  });
});

describe('a slot', () => {
  async function table() {
    const slots = new SlotTable(2, () => {});
    const turn = async (affinity: Session) => {
      const lease = await slots.acquire({ affinity, prompt: PROMPTS[affinity] }, never());
      lease.release({ slot: lease.slot ?? 0, held: PROMPTS[affinity], cachedTokens: PROMPTS[affinity].length });
      return lease.slot;
    };
    for (const affinity of ['a', 'b'] as const) await turn(affinity);
    const warmed = (chance: number) => {
      const lease = slots.leaseToWarm({ prompt: PROMPTS.c, affinity: 'c', chance });
      if (typeof lease === 'string') return lease;
      lease.release();
      return lease.slot;
    };
    return { slots, turn, warmed };
  }

  test('of who is less expected is warmed in, and taken by a turn', async () => {
    const { slots: first, warmed } = await table();
    first.expect('a', 1);
    first.expect('b', 0.1);
    expect(warmed(0.2)).toBe(1);
    const { slots: second, turn } = await table();
    second.expect('a', 1);
    second.expect('b', 0.1);
    expect(await turn('c')).toBe(1);
  });

  test('is worth what its returns tell again, once its session has had a turn', async () => {
    const { slots, turn, warmed } = await table();
    slots.expect('a', 1);
    slots.expect('b', 0);
    await turn('b');
    expect(warmed(0.1)).toBe('no_room');
    expect(warmed(0.5)).toBe(0);
  });
});

describe('a state file', () => {
  const STATE = Buffer.alloc(1_000, 7);
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shelf-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Two files, and by default room for no third. */
  async function shelf(budgetBytes = 3_300) {
    const limits = { budgetBytes, tokensMax: 100, onChange() {}, onWarmLost() {} };
    const opened = await StateShelf.open({ folder, binding: 'model', ...limits }, virtualEnvironment());
    const put = (affinity: Session, chance?: number, ids: TokenSequence = PROMPTS[affinity]) => {
      const write = async (path: string) => {
        writeFileSync(path, STATE);
        return { stateBytes: STATE.length, checksum: 1 };
      };
      const state = { affinity, ids, returns: 0, usedAt: 1, chance };
      return opened.put(state, { expectedBytes: 1_500, write });
    };
    const take = (affinity: Session, isReturn: boolean) =>
      opened.take(affinity, { usedAt: 1, isReturn, read: async () => {} });
    for (const affinity of ['a', 'b'] as const) expect(await put(affinity)).toBeGreaterThan(1_000);
    return { shelf: opened, put, take };
  }

  function keeperOf(opened: StateShelf): StateKeeper {
    return new StateKeeper({ shelf: opened, speeds: new MeasuredSpeeds(), clock: virtualEnvironment().clock });
  }

  test('of who is less expected makes room', async () => {
    const { shelf: opened, put } = await shelf();
    opened.note('a', { chance: 0.9 });
    opened.note('b', { chance: 0.1 });
    opened.note('nobody', { chance: 1 });
    expect(await put('c', 0.5)).toBeGreaterThan(1_000);
    expect(opened.affinities).toEqual(['a', 'c']);
    opened.note('a', { chance: 0.9 });
    opened.note('c', { chance: 0.8 });
    expect(await put('b', 0.5)).toBeUndefined();
    expect(opened.affinities).toEqual(['a', 'c']);
  });

  test('that is being read or written is expected from then on, and stays', async () => {
    const { shelf: opened, put, take } = await shelf(10_000);
    const [reading, writing] = [take('a', true), put('b', 0.2, [...PROMPTS.b, 9 as TokenId])];
    opened.note('a', { chance: 0.9 });
    opened.note('b', { chance: 0.8 });
    await Promise.all([reading, writing]);
    for (const affinity of ['a', 'b']) await opened.settled(affinity);
    expect(opened.find('a')?.chance).toBe(0.9);
    expect(opened.find('b')?.chance).toBe(0.8);
    expect((await take('a', false))?.chance).toBe(0.9);
    expect((await take('a', true))?.chance).toBeUndefined();
    expect(opened.status()).toMatchObject({ files: 2, saves: 3, restores: 3, refused: 0, dropped: 0 });
  });

  test('is expected with its sequence, and no more once a turn of its session has come to that', async () => {
    const { shelf: opened } = await shelf();
    const sequence = { tokens: () => PROMPTS.a, clear: async () => {} } as unknown as PooledSequence;
    const sequences = new SequenceKeeping([sequence], {
      ...{ keeper: keeperOf(opened), account: new WarmAccount(), sharesOwners: false },
      clock: virtualEnvironment().clock,
    });
    const turn = async () => (await sequences.acquire({ prompt: PROMPTS.a, affinity: 'a' }, never())).release();
    await turn();
    sequences.expect('a', 0.3);
    sequences.expect('b', 0.2);
    expect(opened.find('a')?.chance).toBe(0.3);
    await turn();
    expect(opened.find('a')?.chance).toBeUndefined();
    expect(opened.find('b')?.chance).toBe(0.2);
  });

  test('that has all of what loses its sequence takes over what was expected of that', async () => {
    const { shelf: opened } = await shelf();
    const sequence = { tokens: () => PROMPTS.a } as unknown as PooledSequence;
    const held = { affinity: 'a', returns: 0, usedAt: 1, chance: 0.7 };
    expect(await keeperOf(opened).save(sequence, held).kept).toBe(true);
    expect(opened.find('a')?.chance).toBe(0.7);
  });
});

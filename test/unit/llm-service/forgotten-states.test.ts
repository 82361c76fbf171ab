// All that is held and kept of a user's sessions is to go: tries to have that told while a sequence is in use with it or cannot be cleared, a
// state is on its way into a file, or a file cannot be removed, wholly or half; and to have what is others' go with it.
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LlamaContextSequence } from 'node-llama-cpp';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { MeasuredSpeeds } from '../../../src/llm-service/embedded/kept-state/measured-speeds.ts';
import { StateKeeper } from '../../../src/llm-service/embedded/kept-state/state-keeper.ts';
import { StateShelf } from '../../../src/llm-service/embedded/kept-state/state-shelf.ts';
import { PooledSequence } from '../../../src/llm-service/embedded/pooled-sequence.ts';
import { SequenceKeeping } from '../../../src/llm-service/embedded/sequence-keeping.ts';
import { WarmAccount } from '../../../src/llm-service/warming/warm-account.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { Hold } from '../../support/hold.ts';

const [ADA, BOB, OF_ADA] = ['k\nada\ns', 'k\nbob\ns', '\nada\n'];
const ids = (length: number) => Array.from({ length }, (_, i) => i as TokenId);

/** What llama.cpp has of a sequence, and cannot clear while it `isBroken`. */
class SequenceDouble {
  contextTokens: TokenSequence = [];
  isBroken = false;
  readonly pooled = new PooledSequence(this as unknown as LlamaContextSequence, 0);

  async clearHistory(): Promise<void> {
    if (this.isBroken) throw new Error('not cleared');
    this.contextTokens = [];
  }
}

let folder: string;
let environment: VirtualEnvironment;
let shelf: StateShelf;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'forgotten-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  environment = virtualEnvironment();
  const told = { onChange() {}, onWarmLost() {} };
  shelf = await StateShelf.open({ folder, binding: 'b', budgetBytes: 1e6, tokensMax: 100, ...told }, environment);
});

function put(affinity: string, hold?: Hold): Promise<number | undefined> {
  const write = async (path: string) => {
    await hold?.pass();
    writeFileSync(path, 'state');
    return { stateBytes: 5, checksum: 0 };
  };
  return shelf.put({ affinity, ids: ids(9), returns: 0, usedAt: 0 }, { expectedBytes: 5, write });
}

/** Whether it has resolved, once all else that could has. */
async function isOver(forgetting: Promise<void>): Promise<boolean> {
  let over = false;
  void forgetting.then(() => {
    over = true;
  });
  await environment.advance(0);
  return over;
}

/** Two sequences in use, the first with Ada's session, the second with Bob's. */
async function inUse() {
  const sequences = [new SequenceDouble(), new SequenceDouble()] as const;
  const keeper = new StateKeeper({ shelf, speeds: new MeasuredSpeeds(), clock: environment.clock });
  const parts = { keeper, account: new WarmAccount(), sharesOwners: false, clock: environment.clock };
  const pooled = sequences.map((sequence) => sequence.pooled);
  const keeping = new SequenceKeeping(pooled, parts);
  const leases = [];
  for (const [at, affinity] of [ADA, BOB].entries()) {
    leases.push(await keeping.acquire({ prompt: ids(9), affinity }, new AbortController().signal));
    Object.assign(sequences[at] as SequenceDouble, { contextTokens: ids(9) });
  }
  return { keeping, sequences, leases, lengths: () => sequences.map(({ contextTokens }) => contextTokens.length) };
}

test('a sequence in use is waited for, and holds nothing then', async () => {
  const { keeping, leases, lengths } = await inUse();
  const forgetting = keeping.forgetAll(OF_ADA);
  expect(await isOver(forgetting)).toBe(false);
  for (const lease of leases) await keeping.release(lease);
  await forgetting;
  expect(lengths()).toEqual([0, 9]);
});

test.each(['idle', 'in use'])('a sequence that is %s and cannot be cleared is told, until it can be', async (state) => {
  const { keeping, sequences, leases, lengths } = await inUse();
  sequences[0].isBroken = true;
  if (state === 'idle') for (const lease of leases) await keeping.release(lease);
  const forgetting = keeping.forgetAll(OF_ADA);
  if (state === 'in use') for (const lease of leases) keeping.giveBack(lease);
  await expect(forgetting).rejects.toThrow('not cleared');
  await expect(keeping.forgetAll(OF_ADA)).rejects.toThrow('not cleared');
  // Nobody else has had to hear of it, nor comes to what is left there.
  await keeping.idle();
  const lease = await keeping.acquire({ prompt: ids(9), affinity: ADA }, new AbortController().signal);
  expect(lease.found).toBeUndefined();
  await expect(keeping.prepare(lease, { affinity: ADA, prompt: ids(9) })).rejects.toThrow('not cleared');
  keeping.giveBack(lease);
  sequences[0].isBroken = false;
  await keeping.forgetAll(OF_ADA);
  expect(lengths()).toEqual([0, 9]);
});

test('a state on its way into a file is waited for, and goes', async () => {
  const hold = new Hold();
  const [putting] = [put(ADA, hold), await put(BOB)];
  const forgetting = shelf.forgetAll((affinity) => affinity.includes(OF_ADA));
  expect(await isOver(forgetting)).toBe(false);
  hold.release();
  await Promise.all([putting, forgetting]);
  expect(shelf.affinities).toEqual([BOB]);
  expect(readdirSync(folder)).toHaveLength(1);
});

test('a file that cannot be removed is told, as often as it is asked', async () => {
  await put(ADA);
  const [name] = readdirSync(folder);
  rmSync(join(folder, name as string));
  mkdirSync(join(folder, name as string));
  await put(BOB);
  for (let attempt = 0; attempt < 2; attempt++)
    await expect(shelf.forgetAll((affinity) => affinity.includes(OF_ADA))).rejects.toThrow('could not be removed');
  expect(shelf.affinities).toEqual([BOB]);
});

const forgetAda = () => shelf.forgetAll((affinity) => affinity.includes(OF_ADA));

/** Lies where a file is to be removed, and cannot be removed as one. */
function putInTheWay(path: string): void {
  rmSync(path, { force: true });
  mkdirSync(path);
}

/** Of its session nothing was left but what lies in the way. */
async function isToldUntilRemoved(): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) await expect(forgetAda()).rejects.toThrow('could not be removed');
  for (const name of readdirSync(folder)) {
    rmdirSync(join(folder, name));
    writeFileSync(join(folder, name), 'state');
  }
  await forgetAda();
  expect(readdirSync(folder)).toEqual([]);
}

test('a removal that was half done goes on until it is whole, whatever is kept and removed of the session meanwhile', async () => {
  await put(ADA);
  putInTheWay(join(folder, readdirSync(folder)[0] as string));
  await expect(forgetAda()).rejects.toThrow('could not be removed');
  await put(ADA);
  await isToldUntilRemoved();
});

test.each(['cannot be read', 'is dropped while it is read'])(
  'a state that %s is told until it is removed',
  async (what) => {
    await put(ADA);
    const write = async () => {
      throw new Error('not written');
    };
    const read = async (path: string) => {
      putInTheWay(path);
      if (what === 'cannot be read') throw new Error('not read');
      // Of more worth, and there is no room for both.
      await shelf.put({ affinity: BOB, ids: ids(99), returns: 9, usedAt: 1 }, { expectedBytes: 1e6 - 1, write });
    };
    await shelf.take(ADA, { usedAt: 1, isReturn: true, read });
    await isToldUntilRemoved();
  },
);

test('a state that was half written is told until it is removed', async () => {
  const write = async (path: string) => {
    putInTheWay(path);
    throw new Error('not written');
  };
  await shelf.put({ affinity: ADA, ids: ids(9), returns: 0, usedAt: 0 }, { expectedBytes: 5, write });
  await isToldUntilRemoved();
});

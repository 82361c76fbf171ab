// All that is held and kept of a user's sessions is to go: tries to have that told while a sequence is in use with it, a state is on its way
// into a file, or a file cannot be removed; and to have what is others' go with it.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { MeasuredSpeeds } from '../../../src/llm-service/embedded/kept-state/measured-speeds.ts';
import { StateKeeper } from '../../../src/llm-service/embedded/kept-state/state-keeper.ts';
import { StateShelf } from '../../../src/llm-service/embedded/kept-state/state-shelf.ts';
import type { PooledSequence } from '../../../src/llm-service/embedded/pooled-sequence.ts';
import { SequenceKeeping } from '../../../src/llm-service/embedded/sequence-keeping.ts';
import { WarmAccount } from '../../../src/llm-service/warming/warm-account.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { Hold } from '../../support/hold.ts';

const [ADA, BOB, OF_ADA] = ['k\nada\ns', 'k\nbob\ns', '\nada\n'];
const ids = (length: number) => Array.from({ length }, (_, i) => i as TokenId);

class SequenceDouble {
  held: TokenSequence = [];
  readonly cutsBack = true;

  tokens(): TokenSequence {
    return this.held;
  }

  async clear(): Promise<void> {
    this.held = [];
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

test('a sequence in use is waited for, and holds nothing then', async () => {
  const sequences = [new SequenceDouble(), new SequenceDouble()];
  const keeper = new StateKeeper({ shelf, speeds: new MeasuredSpeeds(), clock: environment.clock });
  const parts = { keeper, account: new WarmAccount(), sharesOwners: false, clock: environment.clock };
  const keeping = new SequenceKeeping(sequences as unknown as PooledSequence[], parts);
  const leases = [];
  for (const [at, affinity] of [ADA, BOB].entries()) {
    leases.push(await keeping.acquire({ prompt: ids(9), affinity }, new AbortController().signal));
    Object.assign(sequences[at] as SequenceDouble, { held: ids(9) });
  }
  const forgetting = keeping.forgetAll(OF_ADA);
  expect(await isOver(forgetting)).toBe(false);
  for (const lease of leases) await keeping.release(lease);
  await forgetting;
  expect(sequences.map(({ held }) => held.length)).toEqual([0, 9]);
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

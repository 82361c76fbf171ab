// State files of what was warmed and of what turns left, side by side: tries to have the second dropped with the first, the first
// kept for good, or an id counted twice.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { MeasuredSpeeds } from '../../../src/llm-service/embedded/kept-state/measured-speeds.ts';
import { StateKeeper } from '../../../src/llm-service/embedded/kept-state/state-keeper.ts';
import { StateShelf } from '../../../src/llm-service/embedded/kept-state/state-shelf.ts';
import type { PooledSequence } from '../../../src/llm-service/embedded/pooled-sequence.ts';
import { SequenceKeeping } from '../../../src/llm-service/embedded/sequence-keeping.ts';
import { WarmAccount } from '../../../src/llm-service/warming/warm-account.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const never = () => new AbortController().signal;
const ids = (first: number, length = 100) => Array.from({ length }, (_, i) => (first + i) as TokenId);

/** Its state is its ids. */
class SequenceDouble {
  held: TokenSequence = [];
  readonly cutsBack = true;
  readonly #files: Map<string, TokenSequence>;

  constructor(files: Map<string, TokenSequence>) {
    this.#files = files;
  }

  tokens(): TokenSequence {
    return this.held;
  }

  async saveTo(path: string): Promise<number> {
    const state = Buffer.from(JSON.stringify(this.held));
    writeFileSync(path, state);
    this.#files.set(path.slice(0, path.lastIndexOf('.')), this.held);
    return state.length;
  }

  async restoreFrom(path: string): Promise<void> {
    this.held = this.#files.get(path.slice(0, path.lastIndexOf('.'))) ?? [];
  }

  async clear(): Promise<void> {
    this.held = [];
  }

  async cutTo(length: number): Promise<void> {
    this.held = this.held.slice(0, length);
  }
}

let folder: string;
let sequence: SequenceDouble;
let shelf: StateShelf;
let account: WarmAccount;
let keeping: SequenceKeeping;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'warm-files-'));
  sequence = new SequenceDouble(new Map());
  account = new WarmAccount();
  const environment = virtualEnvironment();
  const { clock } = environment;
  const told = { onChange() {}, onWarmLost: (span: { from: number; to: number }) => account.lost(span) };
  const limits = { budgetBytes: 1_000_000, tokensMax: 10_000 };
  shelf = await StateShelf.open({ folder, binding: 'model', ...limits, ...told }, environment);
  const keeper = new StateKeeper({ shelf, speeds: new MeasuredSpeeds(), clock });
  const sequences = [sequence as unknown as PooledSequence];
  keeping = new SequenceKeeping(sequences, { keeper, account, sharesOwners: false, clock });
});
afterEach(() => rmSync(folder, { recursive: true }));

async function turn(affinity: string, prompt: TokenSequence): Promise<number> {
  const lease = await keeping.acquire({ prompt, affinity, owner: affinity }, never());
  const { restoredTokens, warm } = await keeping.prepare(lease, { affinity, owner: affinity, prompt });
  account.found(warm, sequence.held.length);
  sequence.held = prompt;
  await keeping.release(lease);
  await keeping.idle();
  return restoredTokens;
}

async function warm(affinity: string, prompt: TokenSequence): Promise<void> {
  const request = { prompt, affinity, owner: affinity, chance: 1 };
  const lease = await keeping.acquireToWarm(request, never());
  if (typeof lease !== 'object') throw new Error('no sequence');
  const prepared = await keeping.prepare(lease, request, { isReturn: false });
  const span = { from: sequence.held.length, to: prompt.length };
  sequence.held = prompt;
  lease.mark({ warm: account.evaluated(span, prepared.warm) });
  await keeping.release(lease);
  await keeping.idle();
}

async function dropped(affinity: string): Promise<void> {
  keeping.dropWarm(affinity);
  await keeping.idle();
  await shelf.settled(affinity);
}

test('a file of turns stays when what was warmed in its sequence is dropped', async () => {
  await turn('a', ids(0));
  await turn('b', ids(1_000));
  await warm('a', ids(0, 200));
  expect(shelf.affinities).toEqual(['a', 'b']);
  await dropped('a');
  expect(shelf.affinities).toEqual(['a', 'b']);
  expect(sequence.held).toEqual(ids(0));
  expect(account.status()).toMatchObject({ warmedTokens: 100, wastedTokens: 100, heldTokens: 0 });
  await turn('b', ids(1_000));
  expect(await turn('a', ids(0, 201))).toBe(100);
});

test('a file of what was warmed alone goes, wherever its session is held', async () => {
  await warm('a', ids(0));
  await turn('b', ids(1_000));
  expect(shelf.affinities).toEqual(['a']);
  await dropped('a');
  expect(shelf.affinities).toEqual([]);
  expect(account.status()).toMatchObject({ warmedTokens: 100, wastedTokens: 100, heldTokens: 0 });
  await warm('c', ids(2_000));
  await warm('d', ids(3_000));
  await warm('c', ids(2_000, 150));
  expect(shelf.affinities).toContain('c');
  await dropped('c');
  expect(shelf.affinities).not.toContain('c');
  expect(sequence.held).toEqual([]);
});

test('a file of both stays, and counts as nothing that waits', async () => {
  await turn('a', ids(0));
  await warm('a', ids(0, 200));
  await turn('b', ids(1_000));
  expect(shelf.find('a')).toMatchObject({ tokens: 200, warm: { from: 100, to: 200 } });
  await dropped('a');
  expect(shelf.find('a')?.warm).toBeUndefined();
  expect(account.status()).toMatchObject({ warmedTokens: 100, wastedTokens: 100, heldTokens: 0 });
  expect(await turn('a', ids(0, 201))).toBe(200);
  expect(account.status()).toMatchObject({ usedTokens: 0, wastedTokens: 100 });
});

test('a file of what was warmed is one of turns once its session has come to it', async () => {
  await warm('a', ids(0));
  await turn('b', ids(1_000));
  expect(await turn('a', ids(0, 101))).toBe(100);
  await dropped('a');
  expect(shelf.affinities).toContain('a');
});

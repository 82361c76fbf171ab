// A sequence goes on before the state that has left it is sealed in its file, and what comes into it is proven before that has been
// written: tries to have a state lost, written twice, read too early, found by nobody or by somebody else, or left on the disk of a
// session that is forgotten meanwhile.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { MeasuredSpeeds } from '../../../src/llm-service/embedded/kept-state/measured-speeds.ts';
import { IN_THE_CLEAR, type StateForm } from '../../../src/llm-service/embedded/kept-state/state-form.ts';
import { StateKeeper } from '../../../src/llm-service/embedded/kept-state/state-keeper.ts';
import { StateShelf } from '../../../src/llm-service/embedded/kept-state/state-shelf.ts';
import type { PooledSequence } from '../../../src/llm-service/embedded/pooled-sequence.ts';
import { SequenceKeeping } from '../../../src/llm-service/embedded/sequence-keeping.ts';
import { WarmAccount } from '../../../src/llm-service/warming/warm-account.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { Hold } from '../../support/hold.ts';

const never = () => new AbortController().signal;
const PROMPTS = { a: idsFrom(0), b: idsFrom(1_000), c: idsFrom(2_000) };
type Session = keyof typeof PROMPTS;

function idsFrom(first: number): TokenSequence {
  return Array.from({ length: 100 }, (_, i) => (first + i) as TokenId);
}

/** Its state is its ids. */
class SequenceDouble {
  held: TokenSequence = [];
  saves = 0;
  restores = 0;
  readonly cutsBack = true;
  /** Where a state waits that is to be written. */
  saving: Hold | undefined;

  tokens(): TokenSequence {
    return this.held;
  }

  async saveTo(path: string): Promise<number> {
    this.saves++;
    await this.saving?.pass();
    const state = JSON.stringify(this.held);
    writeFileSync(path, state);
    return state.length;
  }

  async restoreFrom(path: string): Promise<void> {
    this.restores++;
    const file = readFileSync(path, 'latin1');
    this.held = JSON.parse(file.slice(0, file.indexOf(']') + 1));
  }

  async clear(): Promise<void> {
    this.held = [];
  }
}

let folder: string;
let environment: VirtualEnvironment;
let sequence: SequenceDouble;
let shelf: StateShelf;
let account: WarmAccount;
let keeping: SequenceKeeping;
/** Where a state waits that has been written and is not sealed. */
let sealing: Hold;
let proofs: number;
let speeds: MeasuredSpeeds;
let isDiskFull: boolean;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leaving-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  environment = virtualEnvironment();
  [sequence, account, sealing, isDiskFull] = [new SequenceDouble(), new WarmAccount(), new Hold(), false];
  await openShelf();
});

/** As a process does that takes over what an earlier one left. */
async function openShelf(): Promise<void> {
  [proofs, speeds] = [0, new MeasuredSpeeds()];
  const form: StateForm = {
    ...IN_THE_CLEAR,
    async write(path, writing) {
      const written = await IN_THE_CLEAR.write(path, writing);
      await sealing.pass();
      if (isDiskFull) throw new Error('no space left on device');
      return written;
    },
    prove(path, state) {
      proofs++;
      return IN_THE_CLEAR.prove(path, state);
    },
  };
  const told = { onChange() {}, onWarmLost: (span: { from: number; to: number }) => account.lost(span) };
  const limits = { budgetBytes: 1_000_000, tokensMax: 10_000 };
  shelf = await StateShelf.open({ folder, binding: 'model', form, ...limits, ...told }, environment);
  const { clock } = environment;
  const keeper = new StateKeeper({ shelf, speeds, clock });
  keeping = new SequenceKeeping([sequence as unknown as PooledSequence], {
    keeper,
    account,
    sharesOwners: false,
    clock,
  });
}

/** Until its sequence has been made ready for it, which holds `found` then. */
async function begin(session: Session, owner: string = session, ids: TokenSequence = PROMPTS[session]) {
  const request = { prompt: [...ids, 0 as TokenId], affinity: session, owner };
  const lease = await keeping.acquire(request, never());
  const { restoredTokens } = await keeping.prepare(lease, request);
  const found = sequence.held;
  sequence.held = ids;
  return { lease, restoredTokens, found };
}

async function turn(...of: Parameters<typeof begin>): Promise<number> {
  const { lease, restoredTokens } = await begin(...of);
  await keeping.release(lease);
  return restoredTokens;
}

/** Whether it has come to its end, once all else that could has. */
async function isOver(ending: Promise<unknown>): Promise<boolean> {
  let over = false;
  void ending.then(() => {
    over = true;
  });
  await environment.advance(0);
  return over;
}

test('a turn does not wait until what it displaced is sealed, and the node that closes does', async () => {
  await turn('a');
  await turn('b');
  await sealing.entered;
  expect(shelf.affinities).toEqual([]);
  const idle = keeping.idle();
  expect(await isOver(idle)).toBe(false);
  sealing.release();
  await idle;
  expect(shelf.affinities).toEqual(['a']);
});

test('how long a state takes to be sealed says nothing of whether writing it pays', async () => {
  await turn('a');
  await turn('b');
  await sealing.entered;
  await environment.advance(60_000);
  sealing.release();
  await keeping.idle();
  expect(speeds.save.msFor(1_000)).toBe(0);
});

test('a session that comes back meanwhile finds its state', async () => {
  await turn('a');
  await turn('b');
  const back = turn('a');
  expect(await isOver(back)).toBe(false);
  sealing.release();
  expect(await back).toBe(100);
});

test('a session that is forgotten meanwhile leaves nothing', async () => {
  await turn('a');
  await turn('b');
  const forgetting = keeping.forgetAll('a');
  expect(await isOver(forgetting)).toBe(false);
  sealing.release();
  await forgetting;
  expect(readdirSync(folder)).toEqual([]);
  expect(shelf.affinities).toEqual([]);
});

test('what was warm of a state that cannot be sealed is lost, once', async () => {
  const request = { prompt: PROMPTS.a, affinity: 'a', owner: 'a', chance: 1 };
  const lease = await keeping.acquireToWarm(request, never());
  if (typeof lease !== 'object') throw new Error('no sequence');
  await keeping.prepare(lease, request, { isReturn: false });
  sequence.held = PROMPTS.a;
  lease.mark({ warm: account.evaluated({ from: 0, to: 100 }, undefined) });
  await keeping.release(lease);
  await turn('b');
  expect(account.status()).toMatchObject({ warmedTokens: 100, heldTokens: 100 });
  isDiskFull = true;
  sealing.release();
  await keeping.idle();
  expect(account.status()).toMatchObject({ warmedTokens: 100, wastedTokens: 100, heldTokens: 0 });
  expect(readdirSync(folder)).toEqual([]);
  expect(await turn('a')).toBe(0);
});

test('a state that is on its way ahead of need is not written again by the turn that needs its sequence', async () => {
  sealing.release();
  await turn('a');
  await turn('b');
  await keeping.idle();
  sealing = new Hold();
  const { lease } = await begin('b');
  keeping.giveBack(lease);
  await sealing.entered;
  const displacing = turn('c');
  sealing.release();
  await displacing;
  await keeping.idle();
  expect(sequence.saves).toBe(2);
  expect(shelf.affinities).toEqual(['a', 'b']);
});

test('nothing is warmed in the place of a state that is not sealed', async () => {
  await turn('a');
  await turn('b');
  sealing.release();
  await keeping.idle();
  [sealing, isDiskFull] = [new Hold(), true];
  const request = { prompt: PROMPTS.c.slice(0, 1), affinity: 'c', owner: 'c', chance: 0.01 };
  const warming = keeping.acquireToWarm(request, never());
  await sealing.entered;
  expect(await isOver(warming)).toBe(false);
  sealing.release();
  expect(await warming).toBeUndefined();
  expect(sequence.held).toEqual(PROMPTS.b);
});

test('a state is proven while the one in its place is written, and read after that', async () => {
  sealing.release();
  await turn('a');
  await turn('b');
  await keeping.idle();
  sequence.saving = new Hold();
  const back = turn('a');
  await sequence.saving.entered;
  expect(await isOver(back)).toBe(false);
  expect([proofs, sequence.restores, sequence.held]).toEqual([1, 0, PROMPTS.b]);
  sequence.saving.release();
  expect(await back).toBe(100);
  expect(proofs).toBe(1);
});

test.each([
  ['this process', 'a', 'b'],
  ['this process', 'a', 'a'],
  ['an earlier one', 'a', 'b'],
])('of a damaged state that %s left nothing is found (owner %s, before %s)', async (by, owner, before) => {
  sealing.release();
  await turn('a', owner);
  await turn('b', before);
  await keeping.idle();
  if (by === 'an earlier one') await openShelf();
  const [name] = readdirSync(folder).filter((one) => one.endsWith('.kv'));
  const path = join(folder, name as string);
  const bytes = readFileSync(path);
  bytes[1] = 0x39;
  writeFileSync(path, bytes);
  const { restoredTokens, found } = await begin('a', owner);
  expect([restoredTokens, found]).toEqual([0, []]);
  expect(sequence.restores).toBe(by === 'this process' ? 1 : 0);
});

test('what another user said in the same words is no reason to leave a state where it is', async () => {
  sealing.release();
  await turn('a', 'ada', PROMPTS.a);
  await turn('b', 'bob', PROMPTS.a);
  expect(await turn('a', 'ada', PROMPTS.a)).toBe(100);
});

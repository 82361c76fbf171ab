// Tries to get another reply out of a session that lost its sequence and came back than out of one that never did: by
// restoring from its file, from one that is cut, changed, another session's, another model file's; after a restart, after
// a deletion, with no room left in the budget or on the disk.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { FREE_BYTES_MIN } from '../../src/llm-service/embedded/kept-state/state-shelf.ts';
import { type EmbeddedOptions, startEmbedded } from '../../src/llm-service/embedded.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { CONTEXT_TOKENS, Conversation, environment, NEVER } from '../support/kept-state.ts';

let root: string;
let folder: string;
const running: LlmService[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kept-'));
  folder = join(root, 'kv');
});
afterEach(async () => {
  for (const service of running.splice(0)) await service.close();
  rmSync(root, { recursive: true });
});

async function start(options: Partial<EmbeddedOptions> = {}): Promise<LlmService> {
  const keep = { folder, budgetBytes: 1e9 };
  const service = await startEmbedded(
    { modelPath: DEMO_MODEL_PATH, contextTokens: 2048, parallel: 1, keep, ...options },
    environment,
  );
  running.push(service);
  return service;
}

const files = (where = folder) => readdirSync(where).sort();
const onlyFile = () => {
  const [name, ...more] = files();
  expect(more).toEqual([]);
  return join(folder, name as string);
};

/** A, then B in its place: A's state is in a file, and the only one. */
async function evicted(service: LlmService, by = 'bob'): Promise<{ a: Conversation; b: Conversation }> {
  const [a, b] = [new Conversation('a', 1), new Conversation('b', 2, by)];
  await a.turn(service);
  await b.turn(service, { maxTokens: 0 });
  // What is saved ahead once nothing runs.
  await settled(service, ({ saves }) => saves >= 2);
  return { a, b };
}

async function settled(service: LlmService, isSo: (status: ReturnType<typeof statusOf>) => boolean): Promise<void> {
  while (!isSo(statusOf(service))) await new Promise(setImmediate);
}
const statusOf = (service: LlmService) => {
  if (service.keptStates === undefined) throw new Error('keeps nothing');
  return service.keptStates.status();
};

test('a session that comes back is restored, and says what one says that never left', async () => {
  const [keeping, roomy] = [await start(), await start({ parallel: 4, keep: undefined })];
  const sessions = ['a', 'b', 'c'].map((name, i) => ({
    here: new Conversation(name, i, name),
    there: new Conversation(name, i, name),
  }));
  for (let turn = 1; turn <= 3; turn++) {
    for (const { here, there } of sessions) {
      const [end, expected] = [await here.turn(keeping), await there.turn(roomy)];
      expect(end.ids).toEqual(expected.ids);
      if (turn === 1) continue;
      const { evaluatedTokens, cachedTokens } = expected.usage;
      expect(expected.usage.restoredTokens).toBe(0);
      expect(end.usage.restoredTokens).toBe(end.usage.cachedTokens);
      // Later a file may be left as it is, where writing it anew costs more than evaluating what has come since.
      if (turn === 2) expect(end.usage).toMatchObject({ evaluatedTokens, cachedTokens });
      else expect(end.usage.evaluatedTokens).toBeLessThan(CONTEXT_TOKENS / 10);
    }
  }
  expect(statusOf(keeping)).toMatchObject({ restores: 6, refused: 0, dropped: 0, files: 3 });
});

test('without keeping the same sessions are evaluated anew, and nothing is written', async () => {
  const service = await start({ keep: undefined });
  const [a, b] = [new Conversation('a', 1), new Conversation('b', 2)];
  for (const session of [a, b]) await session.turn(service);
  expect((await a.turn(service)).usage.evaluatedTokens).toBeGreaterThan(CONTEXT_TOKENS);
  expect(service.keptStates).toBeUndefined();
  expect(files(root)).toEqual([]);
});

test('what is kept outlives the engine, and a window that has become longer', async () => {
  const first = await start();
  const { a } = await evicted(first);
  await running.pop()?.close();
  const second = await start({ contextTokens: 4096 });
  let found: readonly string[] = [];
  second.keptStates?.onFound((affinities) => {
    found = affinities;
  });
  expect(found).toContain(a.affinity);
  const { usage } = await a.turn(second);
  expect(usage.restoredTokens).toBeGreaterThan(CONTEXT_TOKENS);
  expect(statusOf(second)).toMatchObject({ restores: 1, refused: 0 });
});

test('what a sequence holds when the engine is closed is there after its next start', async () => {
  const session = new Conversation('a', 1);
  await session.turn(await start());
  expect(files()).toEqual([]);
  await running.pop()?.close();
  expect(files()).toHaveLength(1);
  const { usage } = await session.turn(await start());
  expect(usage.restoredTokens).toBeGreaterThanOrEqual(CONTEXT_TOKENS);
  expect(usage.evaluatedTokens).toBeLessThan(10);
});

test('what is warm and loses its sequence goes to a file, and is found warm when its session comes', async () => {
  const service = await start();
  const [warm, other] = [new Conversation('warm', 1), new Conversation('other', 2)];
  const { affinity, owner, known: prompt } = warm;
  const request = { affinity, owner, prompt: [...prompt], chance: 0.9 };
  expect(await service.warming?.warm(request, NEVER)).toMatchObject({ end: 'warm', evaluatedTokens: CONTEXT_TOKENS });
  await other.turn(service);
  await settled(service, () => statusOf(service).files === 1);
  expect(service.warming?.status()).toMatchObject({ heldTokens: CONTEXT_TOKENS, wastedTokens: 0 });
  const { usage } = await warm.turn(service);
  expect(usage).toMatchObject({ restoredTokens: CONTEXT_TOKENS, warmedTokens: CONTEXT_TOKENS });
  expect(service.warming?.status()).toMatchObject({ heldTokens: 0, usedTokens: CONTEXT_TOKENS });
});

test('one that is worth more makes room for what is warmed only once its state is in a file', async () => {
  const service = await start();
  const [busy, likely] = [new Conversation('busy', 1), new Conversation('likely', 2)];
  for (let turn = 0; turn < 3; turn++) await busy.turn(service);
  const { affinity, owner, known: prompt } = likely;
  const request = { affinity, owner, prompt, chance: 0.5 };
  expect(await service.warming?.warm(request, NEVER)).toMatchObject({ end: 'warm' });
  expect(statusOf(service)).toMatchObject({ files: 1, saves: 1 });
  expect((await busy.turn(service)).usage.restoredTokens).toBeGreaterThanOrEqual(CONTEXT_TOKENS);
  const without = await start({ keep: undefined });
  for (let turn = 0; turn < 3; turn++) await busy.turn(without);
  expect(await without.warming?.warm(request, NEVER)).toMatchObject({ end: 'no_room', evaluatedTokens: 0 });
  expect((await busy.turn(without)).usage.evaluatedTokens).toBeLessThan(10);
});

test('a session forgotten while it is warmed leaves nothing, in a sequence or on the disk', async () => {
  const service = await start();
  const { affinity, owner, known: prompt } = new Conversation('forgotten', 1);
  const outcome = service.warming?.warm({ affinity, owner, prompt, chance: 1 }, NEVER);
  await settled(service, () => service.slots()[0]?.busy === true);
  service.warming?.forget(affinity);
  expect(await outcome).toMatchObject({ end: 'forgotten' });
  await new Conversation('other', 2).turn(service);
  expect(files()).toEqual([]);
  const { warmedTokens, wastedTokens } = service.warming?.status() ?? {};
  expect(wastedTokens).toBe(warmedTokens);
  expect((await new Conversation('forgotten', 1).turn(service)).usage.cachedTokens).toBe(0);
});

test('what sessions begin with is kept once where users may share, and goes with the last of them', async () => {
  const shared = Array.from({ length: 250 }, (_, i) => (100 + (i % 90)) as TokenId);
  const sessions = ['a', 'b', 'c'].map((name, i) => {
    const session = new Conversation(name, i, name);
    session.known.unshift(...shared);
    return session;
  });
  const [apart, together] = [
    await start({ parallel: 4, keep: undefined }),
    await start({ parallel: 4, sharesOwners: true }),
  ];
  const restored = [];
  for (const session of sessions) {
    const alone = await Object.assign(new Conversation('x', 0, session.owner), { known: [...session.known] }).turn(
      apart,
    );
    const end = await session.turn(together);
    expect(end.ids).toEqual(alone.ids);
    restored.push(end.usage.restoredTokens);
  }
  expect(restored).toEqual([0, 0, shared.length]);
  expect(statusOf(together)).toMatchObject({ files: 1, saves: 1, restores: 1 });
  for (const [i, { affinity }] of sessions.entries()) {
    expect(statusOf(together).files, `after ${i} are forgotten`).toBe(1);
    together.keptStates?.forget(affinity);
  }
  await settled(together, ({ files }) => files === 0);
});

test('what is warmed makes and uses what sessions begin with, as turns do', async () => {
  const shared = Array.from({ length: 250 }, (_, i) => (100 + (i % 90)) as TokenId);
  const [a, b, c] = ['a', 'b', 'c'].map((name, i) => {
    const session = new Conversation(name, i, name);
    session.known.unshift(...shared);
    return session;
  }) as [Conversation, Conversation, Conversation];
  const service = await start({ parallel: 4, sharesOwners: true });
  const warm = ({ affinity, owner, known }: Conversation) =>
    service.warming?.warm({ affinity, owner, prompt: [...known], chance: 1 }, NEVER);
  await a.turn(service);
  expect(await warm(b)).toMatchObject({ end: 'warm', restoredTokens: 0, evaluatedTokens: b.known.length });
  expect(statusOf(service)).toMatchObject({ files: 1, saves: 1 });
  expect(await warm(c)).toMatchObject({ end: 'warm', restoredTokens: shared.length });
  const alone = await start({ parallel: 4, keep: undefined });
  for (const session of [b, c]) {
    const other = Object.assign(new Conversation('x', 0, session.owner), { known: [...session.known] });
    const { ids } = await other.turn(alone);
    const end = await session.turn(service);
    expect(end.ids).toEqual(ids);
    expect(end.usage.warmedTokens).toBeGreaterThan(session === b ? shared.length : 0);
  }
});

test('what sessions began with is not there after a restart: nobody knows whose it was', async () => {
  const together = await start({ parallel: 4, sharesOwners: true });
  const conversations = [new Conversation('a', 1, 'a'), new Conversation('b', 1, 'b')];
  for (const [i, { known }] of conversations.entries())
    known.splice(300, 400, ...known.slice(300, 700).map((id) => (id + i) as TokenId));
  for (const session of conversations) await session.turn(together);
  expect(statusOf(together).files).toBe(1);
  const name = files();
  await running.pop()?.close();
  const again = await start({ parallel: 4, sharesOwners: true });
  await settled(again, () => !files().includes(name[0] as string));
  const found: string[] = [];
  again.keptStates?.onFound((affinities) => found.push(...affinities));
  for (const affinity of found) expect(conversations.map((one) => one.affinity)).toContain(affinity);
});

describe('a file is refused, counted and removed, and the reply is right', () => {
  const harm: Record<string, (path: string, others: readonly string[]) => void> = {
    'cut at its end': (path) => truncateSync(path, statSync(path).size - 1),
    'cut in the middle': (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
    empty: (path) => truncateSync(path, 0),
    'with another id': (path) => {
      const bytes = readFileSync(path);
      const at = bytes.lastIndexOf('{"binding"');
      bytes.writeInt32LE(bytes.readInt32LE(at - 4) + 1, at - 4);
      writeFileSync(path, bytes);
    },
    "another session's": (path, [other]) => copyFileSync(other as string, path),
    'sealed, of what llama.cpp does not read': (path) => {
      const bytes = readFileSync(path);
      bytes.fill(0xff, 0, 64);
      writeFileSync(path, bytes);
    },
    'with one bit turned in its state': (path) => flip(path),
    gone: (path) => rmSync(path),
  };
  const flip = (path: string) => {
    const bytes = readFileSync(path);
    const at = bytes.length >> 1;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(path, bytes);
  };

  test('with one bit turned while no engine ran, before llama.cpp reads it', async () => {
    const { a } = await evicted(await start());
    await running.pop()?.close();
    for (const name of files()) flip(join(folder, name));
    const service = await start();
    expect((await a.turn(service)).usage).toMatchObject({ restoredTokens: 0, cachedTokens: 0 });
    expect(statusOf(service)).toMatchObject({ refused: 1, restores: 0 });
  });

  const places = ['bob', 'ada'].flatMap((before) => Object.keys(harm).map((what) => [what, before] as const));
  test.each(places)('%s, where a session of %s has been', async (what, before) => {
    const service = await start();
    const { a } = await evicted(service, before);
    const own = files().find((name) => readFileSync(join(folder, name)).includes(JSON.stringify(a.affinity)));
    const others = files().filter((name) => name !== own);
    harm[what]?.(
      join(folder, own as string),
      others.map((name) => join(folder, name)),
    );
    const expected = await Object.assign(new Conversation('a', 1), { known: [...a.known] }).turn(
      await start({ keep: undefined }),
    );
    const end = await a.turn(service);
    expect(end.ids).toEqual(expected.ids);
    expect(end.usage).toMatchObject({ restoredTokens: 0, cachedTokens: 0 });
    expect(statusOf(service)).toMatchObject({ refused: 1, restores: 0 });
  });

  test('of another model file, at the next start', async () => {
    const modelPath = join(root, 'model.gguf');
    copyFileSync(DEMO_MODEL_PATH, modelPath);
    const { a } = await evicted(await start({ modelPath }));
    await running.pop()?.close();
    const kept = files().length;
    utimesSync(modelPath, new Date(0), new Date(0));
    const service = await start({ modelPath });
    expect(statusOf(service)).toMatchObject({ refused: kept, files: 0, bytes: 0 });
    expect(files()).toEqual([]);
    expect((await a.turn(service)).usage.restoredTokens).toBe(0);
  });

  test('what a crash left half written or half read, at the next start', async () => {
    await evicted(await start());
    await running.pop()?.close();
    const [one, two] = files() as [string, string];
    copyFileSync(join(folder, one), join(folder, `${one}.part`));
    spawnSync('mv', [join(folder, two), join(folder, `${two}.read`)]);
    const service = await start();
    expect(statusOf(service)).toMatchObject({ files: 1 });
    expect(files()).toEqual([one]);
  });
});

describe('a session that is forgotten', () => {
  test('leaves no file, and is not found in a sequence either', async () => {
    const service = await start();
    const { a, b } = await evicted(service);
    for (const { affinity } of [a, b]) service.keptStates?.forget(affinity);
    await settled(service, () => files().length === 0);
    expect(statusOf(service).bytes).toBe(0);
    for (const session of [b, a]) expect((await session.turn(service)).usage.cachedTokens).toBe(0);
  });

  test('in the middle of its turn is not kept afterwards', async () => {
    const service = await start();
    const { a, b } = await evicted(service);
    const turn = a.turn(service, { maxTokens: 200, sampling: { temperature: 0, ignore_eos: true } });
    await settled(service, () => service.slots()[0]?.busy === true);
    service.keptStates?.forget(a.affinity);
    await turn;
    await b.turn(service);
    await settled(service, () => files().length === 1);
    expect(readFileSync(onlyFile()).includes(JSON.stringify(b.affinity))).toBe(true);
  });
});

test('the state of another user is never gone on from, unless that is switched on', async () => {
  for (const sharesOwners of [false, true]) {
    const service = await start({ sharesOwners, keep: undefined });
    await new Conversation('a', 1, 'ada').turn(service);
    const { usage } = await new Conversation('b', 1, 'bob').turn(service);
    if (sharesOwners) expect(usage.cachedTokens).toBeGreaterThanOrEqual(CONTEXT_TOKENS);
    else expect(usage.cachedTokens).toBe(0);
  }
});

test('the budget holds, and what is worth least goes', async () => {
  const probe = await start({ keep: { folder: join(root, 'probe'), budgetBytes: 1e9 } });
  await evicted(probe);
  const oneFile = statusOf(probe).bytes / statusOf(probe).files;
  const budgetBytes = Math.floor(oneFile * 2.5);
  const service = await start({ keep: { folder, budgetBytes } });
  const sessions = Array.from({ length: 6 }, (_, i) => new Conversation(`s${i}`, i));
  for (const session of sessions) {
    await session.turn(service);
    const { bytes, files: count } = statusOf(service);
    expect(bytes).toBeLessThanOrEqual(budgetBytes);
    expect(count).toBeLessThanOrEqual(2);
  }
  expect(statusOf(service).dropped).toBeGreaterThan(0);
  expect((await (sessions[0] as Conversation).turn(service)).usage.restoredTokens).toBe(0);
});

describe('on a disk that fills up', () => {
  const DISK_BYTES = FREE_BYTES_MIN + 32 * 1024 * 1024;
  let mounted = false;
  beforeEach((context) => {
    mkdirSync(folder);
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', folder]);
    mounted = mount.status === 0;
    if (!mounted) context.skip(`cannot mount a small file system: ${mount.error ?? mount.stderr}`);
  });
  afterEach(() => {
    if (mounted) spawnSync('umount', ['-l', folder]);
  });

  test('files go before the disk is full, nothing more is kept, and turns go on', async () => {
    const kv = join(folder, 'kv');
    const service = await start({ keep: { folder: kv, budgetBytes: 1e9 } });
    const { a, b } = await evicted(service);
    expect(files(kv).length).toBeGreaterThan(0);
    const { bavail, bsize } = statfsSync(folder);
    writeFileSync(join(folder, 'foreign'), Buffer.alloc(bavail * bsize - FREE_BYTES_MIN / 2));
    for (let turn = 0; files(kv).length > 0 || turn < 2; turn++) {
      for (const session of [a, b]) expect((await session.turn(service)).usage.predictedTokens).toBeGreaterThan(0);
    }
    expect(statusOf(service)).toMatchObject({ files: 0, bytes: 0 });
    rmSync(join(folder, 'foreign'));
    const { saves } = statusOf(service);
    for (const session of [a, b, a]) await session.turn(service);
    expect(statusOf(service).saves).toBeGreaterThan(saves);
  });
});

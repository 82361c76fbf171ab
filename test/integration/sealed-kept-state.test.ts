import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { EMBEDDED_PROGRAM, launchEngine } from '../../src/edge-node/engine-process/launch-engine.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { startEmbedded } from '../../src/llm-service/embedded.ts';
import { startEngineProcess } from '../../src/llm-service/engine-process.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { startNodeProcess } from '../../tools/node-process.ts';
import { CONTEXT_TOKENS, Conversation, environment, pipeFor, untilInTheClear, WAIT } from '../support/kept-state.ts';
import { keyLine, keyRing } from '../support/key-rings.ts';

let root: string;
let folder: string;
let memoryFolder: string;
const running: LlmService[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sealed-'));
  folder = join(root, 'kv');
  memoryFolder = join(root, 'memory');
});
afterEach(async () => {
  for (const service of running.splice(0)) await service.close();
  rmSync(root, { recursive: true });
});

const keyOf = (letter: string) => keyRing(letter).current?.derive('kept state') as Buffer;
const optionsWith = (letter: string | undefined) => ({
  modelPath: DEMO_MODEL_PATH,
  contextTokens: 2048,
  parallel: 1,
  keep: {
    folder,
    budgetBytes: 1e9,
    ...(letter !== undefined && { sealing: { key: keyOf(letter), memoryFolder, memoryBytesMax: 1e9 } }),
  },
});

async function start(letter: string | undefined): Promise<LlmService> {
  const service = await startEmbedded(optionsWith(letter), environment);
  running.push(service);
  return service;
}

const stop = () => running.pop()?.close();

const conversation = (seed: number) => new Conversation(String(seed), seed);

/** Whether a file has some of what conversations begin with, as llama.cpp or the seal write ids, or whose it is. */
function isInTheClear(): boolean {
  const needles = [1, 2].flatMap((seed) => {
    const { affinity, known } = conversation(seed);
    return [Buffer.from(Int32Array.from(known.slice(100, 104)).buffer), Buffer.from(JSON.stringify(affinity))];
  });
  return readdirSync(folder).some((name) => {
    const bytes = statSync(join(folder, name)).isFile() ? readFileSync(join(folder, name)) : Buffer.alloc(0);
    return needles.some((needle) => bytes.includes(needle));
  });
}

async function saved(service: LlmService, files: number): Promise<void> {
  await vi.waitFor(() => expect(service.keptStates?.status().files).toBe(files), WAIT);
}

test('a session that was pushed out comes back as without sealing, and is on the disk in no readable form', async () => {
  const ends = [];
  for (const letter of [undefined, 'a']) {
    const service = await start(letter);
    const [one, two] = [conversation(1), conversation(2)];
    for (const session of [one, two]) await session.turn(service);
    const back = await one.turn(service);
    expect(back.usage.restoredTokens).toBeGreaterThan(CONTEXT_TOKENS);
    await stop();
    expect(isInTheClear()).toBe(letter === undefined);
    const again = await two.turn(await start(letter));
    expect(again.usage.restoredTokens).toBeGreaterThan(CONTEXT_TOKENS);
    ends.push(
      [back, again].map(({ ids, usage: { restoredTokens, cachedTokens } }) => ({ ids, restoredTokens, cachedTokens })),
    );
    await stop();
    expect(existsSync(memoryFolder)).toBe(false);
    if (letter === undefined) rmSync(folder, { recursive: true });
  }
  expect(ends[1]).toEqual(ends[0]);
});

test.each(['a bit turned', 'another key'])(
  'with %s it is refused and dropped, and the turn evaluates',
  async (harm) => {
    const first = await start('a');
    const [one, two] = [conversation(1), conversation(2)];
    for (const session of [one, two]) await session.turn(first);
    await saved(first, 2);
    if (harm === 'another key') await stop();
    else
      for (const name of readdirSync(folder)) {
        const bytes = readFileSync(join(folder, name));
        bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
        writeFileSync(join(folder, name), bytes);
      }
    const service = harm === 'another key' ? await start('b') : first;
    const { usage } = await one.turn(service);
    expect(usage).toMatchObject({ restoredTokens: 0, cachedTokens: 0 });
    expect(usage.predictedTokens).toBeGreaterThan(0);
    expect(service.keptStates?.status()).toMatchObject({ refused: harm === 'another key' ? 2 : 1, restores: 0 });
    // What is saved ahead may have been going through it.
    await stop();
    expect(existsSync(memoryFolder)).toBe(false);
  },
);

test('an engine that is killed while it seals leaves nothing in the clear but in memory, and that goes at its next start', async () => {
  let pid: number | undefined;
  const launch = () => {
    const launched = launchEngine(EMBEDDED_PROGRAM, optionsWith('a'));
    pid = launched.pid;
    return launched;
  };
  const service = await startEngineProcess(launch, environment);
  running.push(service);
  const [one, two] = [conversation(1), conversation(2)];
  // Sealing waits for a reader of this pipe, who never comes.
  const pipe = pipeFor(one.affinity, folder);
  await one.turn(service);
  void two.turn(service).catch(() => undefined);
  await untilInTheClear(memoryFolder);
  const killed = pid as number;
  process.kill(killed, 'SIGKILL');
  expect(isInTheClear()).toBe(false);
  await vi.waitFor(() => expect(pid).not.toBe(killed), WAIT);
  await vi.waitFor(() => expect(existsSync(memoryFolder)).toBe(false), WAIT);
  await vi.waitFor(() => expect(readdirSync(folder)).not.toContain(basename(pipe)), WAIT);
  expect((await conversation(1).turn(service)).usage.predictedTokens).toBeGreaterThan(0);
});

test.skipIf(!existsSync('/dev/shm'))('a node with a key seals, and shows no key of its engine', async () => {
  const lines: string[] = [];
  const args = ['--data-dir', root, '--parallel', '1', '--threads', '1', '--log-level', 'debug'];
  const env = { ...process.env, DISCEDGE_ENCRYPTION_KEY: keyLine('a') };
  const node = await startNodeProcess(args, { env, onLine: (line) => lines.push(line) });
  try {
    const long = 'The robot has a lamp and a cup of tea. '.repeat(40);
    const say = (session_id: string, turn: number, text: string) =>
      node.turn({ session_id, turn, prompt: `I am ${session_id}. ${text}`, n_predict: 4 });
    for (const session of ['a', 'b']) await say(session, 1, long);
    expect((await say('a', 2, 'Hi.')).timings.restored_n).toBeGreaterThan(100);
    const { pid } = (await node.get('/health')).body.engines[0];
    const shown = ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${pid}/${name}`, 'latin1'));
    const key = keyOf('a');
    for (const secret of [keyLine('a'), key.toString('hex'), key.toString('base64'), key.toString('latin1')])
      for (const text of [...shown, ...lines]) expect(text.includes(secret)).toBe(false);
    expect(lines.some((line) => line.includes('"isSealed":true'))).toBe(true);
    expect(readdirSync(join(root, 'kv'))).toEqual([`sealed-${keyRing('a').current?.id}`]);
  } finally {
    // Not a kill: that could leave a state in memory, which nothing with this folder would come to remove.
    await node.process.stop();
  }
});

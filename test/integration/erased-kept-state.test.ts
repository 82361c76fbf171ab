// A user is erased while an engine keeps KV state of its sessions: in sequences, in files, and on their way into one. Whatever the engine
// does meanwhile, or is killed at, no file of the user is there once the node confirms, nor anything in the clear on the memory disk.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type SessionId, sessionKeyText, type UserId, userPartOf } from '../../src/domain/identifiers.ts';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import { EMBEDDED_PROGRAM, launchEngine } from '../../src/edge-node/engine-process/launch-engine.ts';
import { clearPlainState, endedWithout, plainStateFolder } from '../../src/edge-node/plain-state.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startEngineProcess } from '../../src/llm-service/engine-process.ts';
import type { GenerationEnd, LlmService } from '../../src/llm-service/llm-service.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';
import { type KEYGROUP, sessionKey } from '../../tools/turn-records.ts';
import { keyLine, keyRing } from '../support/key-rings.ts';

const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));
const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const NEVER = new AbortController().signal;
const CONTEXT_TOKENS = 700;
const WAIT = { timeout: 30_000, interval: 20 };
const MEMORY = '/dev/shm';

let root: string;
let folder: string;
let memoryFolder: string;
let service: LlmService | undefined;
let node: InProcessNode | undefined;
let pids: number[];
/** Whether there was something in the clear in memory when an engine was started. */
let plainAtStart: boolean[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'erased-state-'));
  folder = join(root, 'kv');
  memoryFolder = join(root, 'memory');
  [pids, plainAtStart] = [[], []];
});
afterEach(async () => {
  await service?.close();
  await node?.close();
  [service, node] = [undefined, undefined];
  rmSync(root, { recursive: true });
});

async function start(isSealed: boolean): Promise<LlmService> {
  const key = keyRing('a').current?.derive('kept state') as Buffer;
  const sealing = isSealed ? { key, memoryFolder, memoryBytesMax: 1e9 } : undefined;
  const keep = { folder, budgetBytes: 1e9, sealing };
  const launch = () => {
    plainAtStart.push(existsSync(memoryFolder));
    const launched = launchEngine(EMBEDDED_PROGRAM, { modelPath, contextTokens: 2048, parallel: 1, keep });
    pids.push(launched.pid as number);
    return endedWithout(memoryFolder, launched, environment.logger);
  };
  service = await startEngineProcess(launch, environment);
  return service;
}

const affinityOf = (user: string, session: string) => sessionKeyText(sessionKey(session, user));
const fileOf = (affinity: string) => `${createHash('sha256').update(affinity).digest('hex').slice(0, 32)}.kv`;
const filesOf = (user: string, session: string) =>
  readdirSync(folder).filter((name) => name.startsWith(fileOf(affinityOf(user, session))));
const PART = userPartOf('ada' as UserId);

/** One turn of a conversation that shares nothing with others. */
async function turn(llm: LlmService, affinity: string): Promise<GenerationEnd> {
  const seed = createHash('sha256').update(affinity).digest()[0] as number;
  const context = Array.from({ length: CONTEXT_TOKENS }, (_, i) => (200 + ((i * 7 + seed * 131) % 1500)) as TokenId);
  const prompt = [...context, ...([300, 400, 500] as TokenId[])];
  const request = { prompt, maxTokens: 8, stop: [], sampling: { temperature: 0 }, stream: true };
  for await (const event of llm.generate({ ...request, affinity, owner: affinity.split('\n')[1] }, NEVER))
    if (event.kind === 'end') return event;
  throw new Error('no end');
}

test.each([false, true])('no file of the user is left once the engine says so, sealed: %s', async (isSealed) => {
  const llm = await start(isSealed);
  for (const session of ['a', 'b']) await turn(llm, affinityOf('ada', session));
  await turn(llm, affinityOf('bob', 'a'));
  await turn(llm, affinityOf('ada', 'c'));
  // The first is kept whatever that takes, others where it pays; the last is in the sequence.
  expect(filesOf('ada', 'a')).toHaveLength(1);
  const others = filesOf('bob', 'a');
  await llm.warming?.forgetAll(PART);
  expect(readdirSync(folder)).toEqual(others);
  expect(existsSync(memoryFolder)).toBe(false);
  expect((await turn(llm, affinityOf('ada', 'c'))).usage).toMatchObject({ cachedTokens: 0, restoredTokens: 0 });
});

/** Sealing of this session's state waits for a reader of the pipe that is returned. */
function pipeFor(affinity: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${fileOf(affinity)}.part`);
  expect(spawnSync('mkfifo', [path]).status).toBe(0);
  return path;
}

/** Until all of it is in the clear in memory, and none of it in a file. */
async function savingOf(llm: LlmService, affinity: string): Promise<string> {
  const pipe = pipeFor(affinity);
  await turn(llm, affinity);
  void turn(llm, affinityOf('bob', 'b')).catch(() => undefined);
  await vi.waitFor(
    () => expect(statSync(join(memoryFolder, 'state')).size).toBeGreaterThan(CONTEXT_TOKENS * 1000),
    WAIT,
  );
  return pipe;
}

test('a state on its way into a file is waited for', async () => {
  const llm = await start(true);
  const pipe = await savingOf(llm, affinityOf('ada', 'a'));
  let isForgotten = false;
  const forgetting = llm.warming?.forgetAll(PART).then(() => {
    isForgotten = true;
  });
  // Answered after the engine has heard of it.
  await llm.tokenize('Hello.', { parseSpecial: false });
  expect(isForgotten).toBe(false);
  createReadStream(pipe).resume();
  await forgetting;
  expect(filesOf('ada', 'a')).toEqual([]);
  expect(existsSync(memoryFolder)).toBe(false);
});

test('an engine that is killed meanwhile leaves nothing in memory, and the next one is asked', async () => {
  const llm = await start(true);
  await savingOf(llm, affinityOf('ada', 'a'));
  const forgetting = llm.warming?.forgetAll(PART);
  await llm.tokenize('Hello.', { parseSpecial: false });
  process.kill(pids[0] as number, 'SIGKILL');
  await forgetting;
  expect(filesOf('ada', 'a')).toEqual([]);
  expect(existsSync(memoryFolder)).toBe(false);
  // Before another one could have cleared it.
  expect(plainAtStart).toEqual([false, false]);
});

test('a node that was killed with its engine clears the memory disk when it starts, and of no other node', async () => {
  const [mine, others] = [join(root, 'mine'), join(root, 'others')].map((kvDir) =>
    plainStateFolder(root, { kvDir, folder: join(kvDir, 'sealed-0badcafe/model') }),
  ) as [string, string];
  for (const path of [mine, others]) mkdirSync(path);
  await clearPlainState(join(root, 'mine'), { roots: ['/nowhere', root], logger: environment.logger });
  expect([mine, others].map(existsSync)).toEqual([false, true]);
});

const LONG = 'The robot has a lamp and a cup of tea. '.repeat(40);

test.skipIf(!existsSync(MEMORY)).each([false, true])(
  'a node confirms once nothing is left, its engine killed or not, encrypted: %s',
  async (isEncrypted) => {
    const kvDir = join(root, 'data', 'kv');
    const encryptionKey = join(root, 'key');
    writeFileSync(encryptionKey, keyLine('a'), { mode: 0o600 });
    node = await startTestNode({
      ...{ llm: undefined, model: 'demo', contextTokens: 2048, parallel: 1, threads: 1, store: 'leveldb' },
      ...{ dataDir: join(root, 'data'), maxWaitMsLimit: 120_000, ...(isEncrypted && { encryptionKey }) },
    });
    const keygroup = node.node.description.models[0]?.keygroup as typeof KEYGROUP;
    const states = () => readdirSync(kvDir, { recursive: true }).map(String);
    const statesOf = (user: string, ...sessions: string[]) =>
      states().filter((name) =>
        sessions.some((id) =>
          name.includes(fileOf(sessionKeyText({ keygroup, userId: user as UserId, sessionId: id as SessionId }))),
        ),
      );
    const say = (user_id: string, session_id: string) =>
      node?.turn({ user_id, session_id, turn: 1, prompt: `I am ${session_id}. ${LONG}`, n_predict: 4 });
    // A new engine keeps what it saves first, whatever that takes.
    for (const isKilled of [true, false]) {
      for (const id of ['a', 'b']) await say('ada', id);
      await say('bob', `c${isKilled}`);
      expect(statesOf('ada', 'a')).toHaveLength(1);
      const others = statesOf('bob', `c${isKilled}`).filter((name) => name.endsWith('.kv'));
      if (isKilled) process.kill((await node.get('/health')).body.engines[0].pid, 'SIGKILL');
      const receipt = await node.request('DELETE', '/users/ada?max_wait_ms=120000');
      expect(receipt.body).toMatchObject({ complete: true, nodes: [{ state: 'confirmed' }] });
      expect(statesOf('ada', 'a', 'b')).toEqual([]);
      expect(statesOf('bob', `c${isKilled}`)).toEqual(expect.arrayContaining(others));
      const plain = plainStateFolder(MEMORY, { kvDir, folder: '' }).slice(MEMORY.length + 1, -16);
      expect(readdirSync(MEMORY).filter((name) => name.startsWith(plain))).toEqual([]);
    }
  },
  300_000,
);

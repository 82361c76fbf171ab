import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type SessionId, sessionKeyText, type UserId, userPartOf } from '../../src/domain/identifiers.ts';
import { EMBEDDED_PROGRAM, launchEngine } from '../../src/edge-node/engine-process/launch-engine.ts';
import { clearPlainState, endedWithout, plainStateFolder } from '../../src/edge-node/kept-state/plain-state.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { startEngineProcess } from '../../src/llm-service/engine-process.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';
import type { KEYGROUP } from '../../tools/turn-records.ts';
import { Conversation, environment, fileOf, pipeFor, untilInTheClear } from '../support/kept-state.ts';
import { keyLine, keyRing } from '../support/key-rings.ts';

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
    const launched = launchEngine(EMBEDDED_PROGRAM, {
      modelPath: DEMO_MODEL_PATH,
      contextTokens: 2048,
      parallel: 1,
      keep,
    });
    pids.push(launched.pid as number);
    return endedWithout(memoryFolder, launched, environment.logger);
  };
  service = await startEngineProcess(launch, environment);
  return service;
}

/** Each shares nothing with the others. */
const CONVERSATIONS = ['ada a', 'ada b', 'ada c', 'bob a', 'bob b'];
const conversation = (user: string, session: string) =>
  new Conversation(session, CONVERSATIONS.indexOf(`${user} ${session}`), user);
const filesOf = (user: string, session: string) =>
  readdirSync(folder).filter((name) => name.startsWith(fileOf(conversation(user, session).affinity)));
const PART = userPartOf('ada' as UserId);

test.each([false, true])('no file of the user is left once the engine says so, sealed: %s', async (isSealed) => {
  const llm = await start(isSealed);
  for (const session of ['a', 'b']) await conversation('ada', session).turn(llm);
  await conversation('bob', 'a').turn(llm);
  await conversation('ada', 'c').turn(llm);
  // The first is kept whatever that takes, others where it pays; the last is in the sequence.
  expect(filesOf('ada', 'a')).toHaveLength(1);
  const others = filesOf('bob', 'a');
  await llm.warming?.forgetAll(PART);
  expect(readdirSync(folder)).toEqual(others);
  expect(existsSync(memoryFolder)).toBe(false);
  expect((await conversation('ada', 'c').turn(llm)).usage).toMatchObject({ cachedTokens: 0, restoredTokens: 0 });
});

/** Until all of it is in the clear in memory, and none of it in a file. */
async function savingOf(llm: LlmService, saved: Conversation): Promise<string> {
  const pipe = pipeFor(saved.affinity, folder);
  await saved.turn(llm);
  void conversation('bob', 'b')
    .turn(llm)
    .catch(() => undefined);
  await untilInTheClear(memoryFolder);
  return pipe;
}

test('a state on its way into a file is waited for', async () => {
  const llm = await start(true);
  const pipe = await savingOf(llm, conversation('ada', 'a'));
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
  await savingOf(llm, conversation('ada', 'a'));
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

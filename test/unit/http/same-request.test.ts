// Sends one turn twice over HTTP: to a node, and to one that comes after it on the same records, with every setting that
// may differ set otherwise; and in every spelling that means the same. Tries to get a node to read another request into it.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

/** Every setting that bears on a turn, twice. */
const SETTINGS = {
  mode: ['tokenized', 'raw'],
  overflow: ['error', 'drop-oldest'],
  consistency: ['strong', 'available'],
  maxWaitMs: [1000, 40],
  maxWaitMsLimit: [60_000, 50],
  replicatedWaitMs: [1000, 5],
  turnGate: ['event', 'fixed'],
  turnGateRetriesMax: [3, 2],
  turnGateBackoffMs: [10, 5],
  ttlSeconds: [3600, 60],
  ttlSecondsMax: [86_400, 600],
  replyTokensDefault: [256, 7],
  replyTokensMax: [1024, 8],
  contextTokens: [100_000, 2000],
  parallel: [1, 3],
  contextCacheBytes: ['16MiB', '0'],
  bodyBytesMax: ['1MiB', '64KiB'],
  turnsInFlightMax: [1024, 2],
  sessionQueueMax: [32, 1],
  finishAbandonedMs: [60_000, 1],
} as const;

const settings = (which: 0 | 1) =>
  Object.fromEntries(Object.entries(SETTINGS).map(([name, values]) => [name, values[which]]));

const REQUESTS: Array<[string, Json]> = [
  ['nothing but the message', {}],
  ['as many tokens as the node allows', { n_predict: -1 }],
  ['more tokens than the other node allows', { n_predict: 900 }],
  ['the mode that is the default of neither or one', { mode: 'raw' }],
  ['a system message, stop words and sampling', { system: 'brief', stop: ['x', 'y'], temperature: 0.5, top_k: 3 }],
  ['a time to live, a policy and waits', { ttl_seconds: 500, overflow: 'error', max_wait_ms: 900, stream: true }],
];

describe('the same turn, at two nodes of which every setting differs', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let node: InProcessNode | undefined;
  afterEach(async () => {
    await node?.close();
    folder.remove();
  });

  it.each([
    ['the first node, then the second', [0, 1]],
    ['the second node, then the first', [1, 0]],
  ] as const)('is a replay: %s', async (_, [first, second]) => {
    folder = temporaryFolder();
    const start = (which: 0 | 1) => startTestNode({ ...settings(which), store: 'leveldb', dataDir: folder.path });
    node = await start(first);
    const answered: Json[] = [];
    for (const [index, [, fields]] of REQUESTS.entries()) {
      const body = { prompt: 'a long enough message', session_id: `s${index}`, turn: 1, ...fields };
      answered.push({ body, reply: await node.turn(body) });
      const next = { prompt: 'and another', session_id: `s${index}`, turn: 2, n_predict: -1 };
      answered.push({ body: next, reply: await node.turn(next) });
    }
    await node.close();
    node = await start(second);
    for (const { body, reply } of answered) {
      const again = await node.turn(body);
      expect(again, JSON.stringify(body)).toMatchObject({ replayed: true, content: reply.content, mode: reply.mode });
      expect(again.context_id).toBe(reply.context_id);
    }
  });
});

describe('one meaning, spelled otherwise', () => {
  let node: InProcessNode;
  beforeAll(async () => {
    node = await startTestNode();
  });
  afterAll(() => node.close());

  it.each<[string, Json, Json]>([
    ["the session's own mode, named or not", {}, { mode: 'tokenized' }],
    ['the mode left out, once named', { mode: 'raw' }, {}],
    ['n_predict under its other name', { n_predict: 9 }, { max_tokens: 9 }],
    ['-1 under its other name', { n_predict: -1 }, { max_tokens: -1 }],
    ['null for what is left out', {}, { n_predict: null, stop: null, system: null, temperature: null, mode: null }],
    ['one stop word, in a list', { stop: 'x' }, { stop: ['x'] }],
    ['empty stop words', {}, { stop: ['', ''] }],
    ['no stop words', {}, { stop: [] }],
    ['keys in another order', { top_k: 1, min_p: 0.1 }, { min_p: 0.1, top_k: 1 }],
    ['another model name on a node with one model', { model: 'a' }, { model: 'b' }],
    ["llama.cpp's cache fields, which are the node's own business", {}, { cache_prompt: false, id_slot: 3, n_keep: 2 }],
    ['ids asked for, a stream', {}, { return_tokens: true, stream: true }],
    ['an empty user', {}, { user_id: '' }],
  ])('is a replay: %s', async (name, first, second) => {
    const body = { prompt: 'hello', session_id: name.replaceAll(' ', '-'), turn: 1 };
    const reply = await node.turn({ ...body, ...first });
    expect(await node.turn({ ...body, ...second })).toMatchObject({ replayed: true, context_id: reply.context_id });
  });

  it.each<[string, Json, Json]>([
    ['as many as the node allows is not its default', {}, { n_predict: -1 }],
    ['nor what that number happens to be', { n_predict: -1 }, { n_predict: 4096 }],
    ["a sampling parameter spelled out is not the LLM Service's default", {}, { temperature: 0.8 }],
    ['another mode', {}, { mode: 'raw' }],
    ['another order of stop words', { stop: ['ab', 'abc'] }, { stop: ['abc', 'ab'] }],
  ])('is a conflict: %s', async (name, first, second) => {
    const body = { prompt: 'hello', session_id: name.replaceAll(' ', '-'), turn: 1 };
    await node.turn({ ...body, ...first });
    const answer = await node.post('/completion', { ...body, ...second });
    expect(answer.body.error).toMatchObject({ type: 'turn_conflict' });
  });
});

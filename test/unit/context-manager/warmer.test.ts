// Sessions warmed at a node before their clients come: tries to have a turn evaluate what was warmed, or be held up by it; to
// warm ids that the next prompt does not begin with; and to have a session warmed that is gone, too long, or that nobody
// expects any more.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeOptions } from '../../../src/context-manager/node-options.ts';
import { AWAITED_OF_USER_MAX } from '../../../src/context-manager/warmer/warming-plan.ts';
import { EXPECTED_MAX } from '../../../src/context-manager/warmer/warming-queue.ts';
import type { NodeId, SessionId, SessionKey, UserId } from '../../../src/domain/identifiers.ts';
import { commonPrefixLength, type TokenSequence } from '../../../src/domain/token-sequence.ts';
import type { WarmRequest } from '../../../src/llm-service/llm-service.ts';
import { fetchingRig, type Rig, type RigOptions, replicaRig, replicate } from '../../support/context-manager-rig.ts';
import type { ProbedReplica } from '../../support/probed-store.ts';
import { THINKING_STYLES } from '../../support/thinking-styles.ts';

const LONG = 'A long message. '.repeat(20);

const optionsOf = (nodeId: string, options: Partial<NodeOptions>, more: RigOptions): RigOptions => ({
  ...more,
  options: { nodeId: nodeId as NodeId, warming: 'all', ...more.options, ...options },
});

let prompts: Array<{ readonly affinity: string; readonly ids: TokenSequence; readonly chance: number }>;
/** Two nodes, of which the second warms; what it asks for is written down. */
async function twoNodes(options: Partial<NodeOptions> = {}, more: RigOptions = {}) {
  const from = await replicaRig(optionsOf('a', { warming: 'off' }, more));
  const to = await replicaRig(optionsOf('b', options, { ...more, environment: from.environment }));
  watch(to);
  return { from, to };
}

function watch(rig: Rig<ProbedReplica>): void {
  const { warming } = rig.llm;
  const warm = warming.warm.bind(warming);
  warming.warm = (request: WarmRequest, signal) => {
    prompts.push({ affinity: request.affinity, ids: request.prompt.slice(), chance: request.chance });
    return warm(request, signal);
  };
}

/** Time passes until it has ended. */
async function inTime<T>(ending: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  ending.then(over, over);
  while (!isOver) await from.environment.advance(100);
  return ending;
}

const keyOf = (rig: Rig, session: string): SessionKey => ({
  keygroup: rig.manager.keygroup,
  userId: 'ada' as UserId,
  sessionId: session as SessionId,
});
const ends = (rig: Rig) => rig.manager.warmer?.status.ends;

let from: Rig<ProbedReplica>;
let to: Rig<ProbedReplica>;
beforeEach(async () => {
  prompts = [];
  ({ from, to } = await twoNodes());
});
afterEach(async () => {
  await Promise.all([from.node.close(0), to.node.close(0)]);
});

test('a session that comes finds its context warm, and evaluates its new message alone', async () => {
  await from.turns('s', { to: 2, text: LONG });
  await replicate(from, to);
  await to.settled();
  expect(ends(to)?.warm).toBe(1);
  const reply = await to.turn({ session: 's', turn: 3, text: 'Hi' });
  const { warmedTokens = 0, evaluatedTokens } = reply.usage;
  expect(warmedTokens).toBeGreaterThan(600);
  // "Hi", the end of its message, and the beginning of the reply.
  expect(evaluatedTokens).toBeLessThan(30);
  expect(warmedTokens + evaluatedTokens).toBe(reply.promptTokens);
  const counted = to.metrics.metric('discedge_tokens_total', { model: 'scripted', kind: 'warmed' });
  expect(await counted).toBe(warmedTokens);
  expect(to.manager.warmer?.status).toMatchObject({ handovers: { warm: 1, kept: 0, cold: 0 }, heldTokens: 0 });
});

test('owner and affinity are those of the turn, and the next record has its own ids warmed alone', async () => {
  await from.turn({ session: 's', turn: 1, text: LONG });
  await replicate(from, to);
  await to.settled();
  const before = to.manager.warmer?.status.warmedTokens ?? 0;
  await from.turn({ session: 's', turn: 2, text: 'Short.' });
  await replicate(from, to);
  await to.settled();
  const after = to.manager.warmer?.status.warmedTokens ?? 0;
  expect(before).toBeGreaterThan(300);
  expect(after - before).toBeLessThan(100);
  await to.turn({ session: 's', turn: 3 });
  expect(to.llm.generations.at(-1)?.request.affinity).toBe(prompts.at(-1)?.affinity);
});

describe.each([
  ['tokenized', 'append', undefined],
  ['raw', 'append', undefined],
  ['tokenized', 'rewrite', 'drops reasoning before the last question, in a text or a field (Qwen3)'],
] as const)('in mode %s under a template that leaves its past (%s)', (mode, _, style) => {
  test('what is warmed is what the next prompt begins with, up to the message', async () => {
    const reply = () => '<think>\nhm\n</think>\n\nanswer';
    const chatTemplate = style === undefined ? {} : { chatTemplate: THINKING_STYLES[style]?.source as string };
    ({ from, to } = await twoNodes({}, { ...chatTemplate, scripted: { reply } }));
    for (let turn = 1; turn <= 4; turn++) {
      await from.turn({ session: 's', turn, text: `question ${turn}`, mode });
      await replicate(from, to);
      await to.settled();
    }
    const warmed = prompts.at(-1)?.ids ?? [];
    await to.turn({ session: 's', turn: 5, text: 'question 5' });
    const next = to.llm.generations.at(-1)?.prompt ?? [];
    expect(commonPrefixLength(next, warmed)).toBe(warmed.length);
    expect(Buffer.from(next.slice(warmed.length).filter((id) => id < 256)).toString()).toMatch(/^question 5/);
  });
});

test('a system message and instructions are part of what is warmed', async () => {
  const preamble = { instructions: 'Be brief.', tools: [] };
  await from.turn({ session: 's', turn: 1, system: 'You are a robot.' });
  await from.turn({ session: 't', turn: 1, preamble });
  await replicate(from, to);
  await to.settled();
  for (const session of ['s', 't']) {
    const { usage } = await to.turn({ session, turn: 2, text: 'Hi' });
    expect(usage.evaluatedTokens).toBeLessThan(30);
  }
});

test('a turn does not wait for warming, and takes over what is done', async () => {
  ({ from, to } = await twoNodes({}, { scripted: { cache: { sequences: 8, msPerToken: 1 } } }));
  await inTime(from.turn({ session: 's', turn: 1, text: LONG }));
  await replicate(from, to);
  await to.environment.advance(160);
  const { usage } = await inTime(to.turn({ session: 's', turn: 2, text: 'Hi' }));
  const { warmedTokens = 0, evaluatedTokens } = usage;
  expect(warmedTokens).toBeGreaterThan(100);
  expect(evaluatedTokens).toBeGreaterThan(100);
  expect(ends(to)).toEqual({ taken: 1 });
});

test('a record that arrives while its session is warmed: what is done stays, and the rest is warmed with it', async () => {
  ({ from, to } = await twoNodes({}, { scripted: { cache: { sequences: 8, msPerToken: 1 } } }));
  await inTime(from.turns('s', { to: 2, text: LONG }));
  const [first, second] = from.records('s') as [never, never];
  await to.store.arrive(first);
  await to.environment.advance(160);
  await to.store.arrive(second);
  await to.environment.advance(5_000);
  expect(ends(to)).toEqual({ stopped: 1, warm: 1 });
  expect(prompts.length).toBe(2);
  expect(to.manager.warmer?.status.warmedTokens).toBe(prompts[1]?.ids.length);
});

describe('a session that goes while it is warmed', () => {
  beforeEach(async () => {
    ({ from, to } = await twoNodes({}, { scripted: { cache: { sequences: 8, msPerToken: 1 } } }));
    await inTime(from.turn({ session: 's', turn: 1, text: LONG, ttlSeconds: 60 }));
    await replicate(from, to);
    await to.environment.advance(160);
  });

  test('deleted: nothing is left of it', async () => {
    await to.manager.sessions.delete('ada' as UserId, 's' as SessionId);
    await to.environment.advance(5_000);
    expect(ends(to)).toEqual({ forgotten: 1 });
    expect(to.manager.warmer?.status).toMatchObject({ heldTokens: 0, queued: 0 });
  });

  test('expired or evicted, which the store tells in the same way: nothing is left of it', async () => {
    to.environment.jump(3_600_000);
    expect(await to.store.expire(to.environment.clock.now() + 3_600_000)).toBe(1);
    await to.environment.advance(5_000);
    expect(ends(to)).toEqual({ forgotten: 1 });
    expect(to.manager.warmer?.status.heldTokens).toBe(0);
  });
});

test('thousands of records at once: the newest are warmed, the queue stays short', async () => {
  const sealed = [];
  for (let n = 0; n < 2_000; n++) await from.turn({ session: `s${n}`, turn: 1 });
  for (const one of from.store.appended) sealed.push(to.store.arrive(one));
  await Promise.all(sealed);
  expect(to.manager.warmer?.status.queued).toBeLessThanOrEqual(EXPECTED_MAX);
  for (let round = 0; round < 50; round++) await to.settled();
  expect(to.manager.warmer?.status).toMatchObject({ queued: 0 });
  expect((await to.turn({ session: 's1999', turn: 2, text: 'Hi' })).usage.evaluatedTokens).toBeLessThan(30);
});

describe('a context longer than the window', () => {
  const scripted = { contextTokens: 600 };

  test('is not warmed', async () => {
    ({ from, to } = await twoNodes({}, { scripted }));
    const wide = await replicaRig(optionsOf('a', { warming: 'off' }, { scripted: { contextTokens: 5_000 } }));
    await wide.turns('s', { to: 3, text: LONG.slice(0, 250) });
    await replicate(wide, to);
    for (let round = 0; round < 5; round++) await to.settled();
    expect(ends(to)?.unfit).toBe(1);
    expect(to.manager.warmer?.status.heldTokens).toBeLessThan(600);
  });

  test('is warmed as it is cut, once its last turn was cut', async () => {
    ({ from, to } = await twoNodes({ replyTokensDefault: 64 }, { scripted, options: { replyTokensDefault: 64 } }));
    await from.turns('s', { to: 12, text: 'Some words to fill it.', overflow: 'drop-oldest' });
    expect(from.records('s').at(-1)?.record.contextStart).toBeGreaterThan(1);
    await replicate(from, to);
    for (let round = 0; round < 5; round++) await to.settled();
    const reply = await to.turn({ session: 's', turn: 13, text: 'Hi', overflow: 'drop-oldest' });
    expect(reply.usage.evaluatedTokens).toBeLessThan(30);
    expect(reply.usage.warmedTokens).toBeGreaterThan(100);
  });
});

test('an LLM Service, or a disk, that is gone leaves a session cold, and its next record is another chance', async () => {
  await from.turn({ session: 's', turn: 1 });
  to.store.failNext('read');
  await replicate(from, to);
  await to.settled();
  expect(ends(to)).toEqual({ failed: 1 });
  await from.turn({ session: 's', turn: 2 });
  to.llm.isGone = true;
  await replicate(from, to);
  await to.settled();
  expect(ends(to)).toEqual({ failed: 2 });
  to.llm.isGone = false;
  await from.turn({ session: 's', turn: 3 });
  await replicate(from, to);
  await to.settled();
  expect(ends(to)?.warm).toBe(1);
  expect((await to.turn({ session: 's', turn: 4, text: 'Hi' })).usage.evaluatedTokens).toBeLessThan(30);
});

test('a node that closes warms nothing more', async () => {
  await from.turn({ session: 's', turn: 1 });
  await to.node.close(0);
  await replicate(from, to);
  to.manager.warmer?.coming(keyOf(to, 's'));
  await to.settled();
  expect(prompts).toEqual([]);
});

describe('what clients say', () => {
  beforeEach(async () => {
    ({ from, to } = await twoNodes({ warming: 'hinted' }));
    to.store.peers = [
      { nodeId: 'a' as NodeId, state: 'connected', node: { keygroups: [to.manager.keygroup] } as never },
    ];
  });

  test('next_nodes travel with the record, and names of no node are passed over', async () => {
    await from.turn({ session: 's', turn: 1, nextNodes: ['nowhere', 'a', 'b'] });
    await from.turn({ session: 't', turn: 1, nextNodes: ['nowhere'] });
    await from.turn({ session: 'u', turn: 1, nextNodes: ['not a node id', 'a'] });
    await replicate(from, to);
    await to.settled();
    expect(prompts.map(({ affinity, chance }) => [affinity.split('\n').at(-1), chance])).toEqual([['s', 0.5]]);
  });

  test('a client that comes, said a thousand times, is warmed once', async () => {
    await from.turn({ session: 's', turn: 1, text: LONG });
    await replicate(from, to);
    for (let n = 0; n < 1_000; n++) to.manager.warmer?.coming(keyOf(to, 's'));
    await to.settled();
    expect(ends(to)).toEqual({ warm: 1 });
    expect((await to.turn({ session: 's', turn: 2, text: 'Hi' })).usage.evaluatedTokens).toBeLessThan(30);
  });

  test('a session that comes and is not here is fetched from the peers', async () => {
    const rig = await fetchingRig(optionsOf('b', { warming: 'hinted' }, {}));
    await from.turn({ session: 's', turn: 1, text: LONG });
    rig.store.elsewhere.push(...from.store.appended);
    rig.manager.warmer?.coming(keyOf(rig, 's'));
    await rig.settled();
    expect(rig.manager.warmer?.status.ends.warm).toBe(1);
  });

  test('sessions that nobody has hold up no other, and few are asked for', async () => {
    const rig = await fetchingRig(optionsOf('b', { warming: 'hinted' }, {}));
    rig.store.peers = to.store.peers;
    await from.turn({ session: 's', turn: 1, text: LONG, nextNodes: ['b'] });
    for (let n = 0; n < AWAITED_OF_USER_MAX; n++) rig.store.holdFetch();
    for (let n = 0; n < 1_000; n++) rig.manager.warmer?.coming(keyOf(rig, `invented-${n}`));
    await rig.environment.advance(0);
    for (const sealed of from.store.appended) await rig.store.arrive(sealed);
    await rig.settled();
    expect(rig.manager.warmer?.status.ends).toEqual({ warm: 1 });
    expect(rig.store.fetches).toHaveLength(AWAITED_OF_USER_MAX);
    expect(rig.manager.warmer?.status).toMatchObject({ queued: 0, dropped: 0 });
  });
});

test('a budget of ids for each second is kept', async () => {
  ({ from, to } = await twoNodes({ warmingIdsPerSecond: 100 }));
  for (const session of ['s', 't', 'u']) await from.turn({ session, turn: 1, text: LONG });
  await replicate(from, to);
  await to.environment.advance(1_000);
  expect(ends(to)).toEqual({ warm: 1 });
  await to.environment.advance(60_000);
  expect(ends(to)).toEqual({ warm: 3 });
});

test('for what is warmed beyond its bytes no session loses what its own turns left', async () => {
  const cache = { sequences: 64, msPerToken: 0, bytesPerToken: 10 };
  ({ from, to } = await twoNodes({ warmingKvBytes: 10_000 }, { scripted: { cache } }));
  await to.turn({ session: 'both', turn: 1, text: LONG });
  await replicate(to, from);
  await from.turn({ session: 'both', turn: 2, text: 'Next.' });
  await replicate(from, to);
  await to.settled();
  expect(to.manager.warmer?.status.heldBytes).toBeGreaterThan(0);
  for (let n = 0; n < 8; n++) await from.turn({ session: `s${n}`, turn: 1, text: LONG });
  await replicate(from, to);
  for (let round = 0; round < 5; round++) await to.settled();
  const { usage } = await to.turn({ session: 'both', turn: 3, text: 'Back.' });
  expect(usage.cachedTokens).toBeGreaterThan(LONG.length / 2);
});

test('what is warmed fits into its bytes', async () => {
  const cache = { sequences: 64, msPerToken: 0, bytesPerToken: 10 };
  ({ from, to } = await twoNodes({ warmingKvBytes: 10_000 }, { scripted: { cache } }));
  for (let n = 0; n < 8; n++) await from.turn({ session: `s${n}`, turn: 1, text: LONG });
  await replicate(from, to);
  for (let round = 0; round < 5; round++) await to.settled();
  const { heldBytes = 0, wastedTokens } = to.manager.warmer?.status ?? {};
  expect(heldBytes).toBeLessThanOrEqual(10_000);
  expect(heldBytes).toBeGreaterThan(3_000);
  expect(wastedTokens).toBeGreaterThan(0);
});

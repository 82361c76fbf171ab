// Forks sessions from every turn and branch, in both modes, twice at once, with a store that fails half-way and a source
// that is deleted, expired, running, elsewhere or somebody else's. A fork must be the source's first turns, id for id, and
// from then on neither session may feel the other.
import { generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Fork, ForkRequest } from '../../../src/context-manager/sessions/forks.ts';
import { isSignedWith, keyIdOf, signWith } from '../../../src/context-store/replication/signatures/node-key.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { sealSigned, signatureOf } from '../../../src/domain/record/record-signature.ts';
import type { TurnRecord } from '../../../src/domain/record/turn-record.ts';
import { codeOf, contextManagerRig, errorOf, type Rig, replicaRig, textOf } from '../../support/context-manager-rig.ts';
import type { ProbedStore } from '../../support/probed-store.ts';

const ADA = 'ada' as never;
const id = (session: string) => session as never;
const STAYS = new AbortController().signal;

let rig: Rig;
beforeEach(async () => {
  rig = await contextManagerRig();
});

type Ask = { [Field in keyof ForkRequest]?: unknown };
function fork(
  ask: Ask,
  { from = rig, gone = STAYS }: { from?: Rig<ProbedStore>; gone?: AbortSignal } = {},
): Promise<Fork> {
  const request = {
    userId: 'ada',
    sessionId: 's',
    turn: undefined,
    contextId: undefined,
    newSessionId: 'copy',
    ttlSeconds: undefined,
    maxWaitMs: 1000,
    ...ask,
  } as ForkRequest;
  return from.manager.fork(request, gone);
}

const saidIn = async (session: string, from: Rig<ProbedStore> = rig) =>
  (await from.manager.sessions.show(ADA, id(session))).turns
    .map(textOf)
    .map(({ messages, reply }) => [messages.map(({ content }) => content), reply]);
const lastPrompt = () => rig.llm.generations.at(-1)?.prompt;

it('a fork carries what it does not understand: extensions and marks', async () => {
  await rig.turn({ session: 's', turn: 1 });
  const { record } = rig.records('s')[0] as { record: TurnRecord };
  const extensions = new Map([['acme.trace', Uint8Array.of(7)]]);
  const marks = [{ segment: 'reply', start: 0, length: 1, part: { type: 'thinking' } }];
  const payload = { ...record.payload, marks } as TurnRecord['payload'];
  await rig.store.append(sealRecord({ ...record, sessionId: id('marked'), extensions, payload }));
  await fork({ sessionId: 'marked', turn: 1 });
  const [copy] = rig.records('copy');
  expect(copy).toMatchObject({ record: { payload: { marks } } });
  expect([...(copy?.record.extensions ?? [])]).toEqual(expect.arrayContaining([...extensions]));
});

describe.each(['tokenized', 'raw'] as const)('a fork of a %s session', (mode) => {
  beforeEach(async () => {
    await rig.turn({ session: 's', turn: 1, mode, system: 'be brief', text: 'one' });
    for (const [index, text] of ['two', 'three', 'four'].entries())
      await rig.turn({ session: 's', turn: index + 2, text });
  });

  it.each([1, 2, 4])('has its first %i turns, and goes on from there exactly as it would have', async (turn) => {
    const made = await fork({ turn });
    expect(made).toMatchObject({ turn, mode, replayed: false, source: { sessionId: 's', turn } });
    expect(await saidIn('copy')).toEqual((await saidIn('s')).slice(0, turn));
    const reply = await rig.turn({ session: 'copy', turn: turn + 1, contextId: made.contextId, text: 'on' });
    expect(reply).toMatchObject({ turn: turn + 1, basedOnTurn: turn, mode });
    const prompt = lastPrompt();
    rig.restart();
    await rig.turn({ session: 'again', turn: 1, mode, system: 'be brief', text: 'one' });
    const rest = [...['two', 'three', 'four'].slice(0, turn - 1), 'on'];
    for (const [index, text] of rest.entries()) await rig.turn({ session: 'again', turn: index + 2, text });
    expect(prompt).toEqual(lastPrompt());
  });

  it('is an ordinary session: durable, on other nodes too, chained anew, and its last turn can be asked for again', async () => {
    const made = await fork({ turn: 2 });
    const copies = rig.records('copy');
    expect(copies.map(({ record }) => [record.turn, record.parent])).toEqual([
      [1, undefined],
      [2, copies[0]?.hash],
    ]);
    const other = await replicaRig({ options: { nodeId: 'node-2' as never } });
    for (const sealed of copies) await other.store.arrive(sealed);
    expect(await saidIn('copy', other)).toEqual(await saidIn('copy'));
    expect(await rig.turn({ session: 'copy', turn: 2, text: 'two' })).toMatchObject({
      replayed: true,
      contextId: made.contextId,
    });
    rig.restart();
    expect(await saidIn('copy')).toHaveLength(2);
  });

  it('and its source do not feel each other: growth, deletion, expiry', async () => {
    await fork({ turn: 4, ttlSeconds: 10 });
    await rig.turn({ session: 'copy', turn: 5, text: 'five of the copy', ttlSeconds: 10 });
    expect(await saidIn('s')).toHaveLength(4);
    await rig.turn({ session: 's', turn: 5, text: 'five of the source' });
    await fork({ turn: 5, newSessionId: 'kept' });
    await rig.manager.sessions.delete(ADA, id('s'));
    expect(await saidIn('copy')).toHaveLength(5);
    await rig.environment.advance(10_000);
    await rig.store.expire(rig.environment.clock.now());
    expect(await codeOf(rig.manager.sessions.show(ADA, id('copy')))).toBe('session_not_found');
    expect(await saidIn('kept')).toHaveLength(5);
    expect(await rig.turn({ session: 'kept', turn: 6 })).toMatchObject({ basedOnTurn: 5 });
  });
});

describe('a fork', () => {
  beforeEach(async () => {
    await rig.turns('s', { to: 3 });
  });

  it('lives as long as a new session of this node, or as it is told, and its turns keep that', async () => {
    await rig.turn({ session: 'long', turn: 1, ttlSeconds: 80_000 });
    const nowMs = rig.environment.clock.now();
    expect((await fork({ sessionId: 'long', turn: 1, newSessionId: 'a' })).expiresAtMs).toBe(nowMs + 3_600_000);
    expect((await fork({ turn: 1, newSessionId: 'b', ttlSeconds: 1e9 })).expiresAtMs).toBe(nowMs + 86_400_000);
    expect((await fork({ turn: 1, newSessionId: 'c', ttlSeconds: 100 })).expiresAtMs).toBe(nowMs + 100_000);
    await rig.environment.advance(99_000);
    await rig.turn({ session: 'c', turn: 2 });
    expect((await rig.manager.sessions.show(ADA, id('c'))).expiresAtMs).toBe(nowMs + 199_000);
  });

  it('without an id gets a new one', async () => {
    const made = [await fork({ turn: 1, newSessionId: undefined }), await fork({ turn: 1, newSessionId: undefined })];
    expect(new Set(made.map(({ key }) => key.sessionId)).size).toBe(2);
  });

  it('sent again is found, and asks nothing of the store or the LLM Service', async () => {
    const first = await fork({ turn: 2 });
    const [stored, asked] = [rig.store.appended.length, rig.llm.generations.length];
    await rig.environment.advance(5000);
    expect(await fork({ turn: 2 })).toEqual({ ...first, replayed: true });
    rig.restart();
    expect(await fork({ turn: 2 })).toEqual({ ...first, replayed: true });
    expect([rig.store.appended.length, rig.llm.generations.length]).toEqual([stored, asked]);
  });

  it('asked for twice at once is made once', async () => {
    const made = await Promise.all([fork({ turn: 3 }), fork({ turn: 3 })]);
    expect(made.map(({ replayed }) => replayed).toSorted()).toEqual([false, true]);
    expect(rig.records('copy')).toHaveLength(3);
  });

  it('that failed half-way is completed when it is sent again', async () => {
    const hold = rig.store.hold('append');
    rig.store.failNext('append');
    const failed = codeOf(fork({ turn: 3 }));
    await hold.entered;
    hold.release();
    expect(await failed).toBe('store_unavailable');
    const before = rig.records('copy').length;
    expect(before).toBeLessThan(3);
    expect(await fork({ turn: 3 })).toMatchObject({ turn: 3, replayed: false });
    expect(await saidIn('copy')).toEqual(await saidIn('s'));
    expect(rig.records('copy')).toHaveLength(3);
  });

  it('does not touch a session that is there: another one, a longer one, itself', async () => {
    await rig.turn({ session: 'other', turn: 1, text: 'something else' });
    await fork({ turn: 2, newSessionId: 'longer' });
    await rig.turn({ session: 'longer', turn: 3, text: 'its own' });
    await fork({ turn: 1, newSessionId: 'first' });
    await fork({ turn: 2, newSessionId: 'second' });
    await fork({ sessionId: 'second', turn: 1, newSessionId: 'fork of a fork' });
    const stored = rig.store.appended.length;
    const asks = [
      { turn: 1, newSessionId: 'other' },
      { turn: 3, newSessionId: 'other' },
      { turn: 2, newSessionId: 'longer' },
      { turn: 3, newSessionId: 'longer' },
      { turn: 2, newSessionId: 's' },
      { turn: 2, newSessionId: 'first' },
      { turn: 3, newSessionId: 'second' },
      { turn: 1, newSessionId: 'second' },
      { sessionId: 'second', turn: 2, newSessionId: 'fork of a fork' },
    ];
    for (const ask of asks) {
      expect(await errorOf(fork(ask)), JSON.stringify(ask)).toMatchObject({
        code: 'session_exists',
        status: 412,
        param: 'session_id',
      });
    }
    expect(rig.store.appended).toHaveLength(stored);
  });

  it('whose id is deleted while it waits, or is being made, does not exist afterwards', async () => {
    const hold = rig.llm.hold();
    const turn = rig.turn({ session: 's', turn: 4 });
    await hold.entered;
    const waiting = codeOf(fork({ turn: 4 }));
    await rig.manager.sessions.delete(ADA, id('copy'));
    hold.release();
    await turn;
    expect(await waiting).toBe('session_deleted');
    const append = rig.store.hold('append');
    const made = codeOf(fork({ turn: 1, newSessionId: 'other' }));
    await append.entered;
    await rig.manager.sessions.delete(ADA, id('other'));
    append.release();
    expect(await made).toBe('session_deleted');
    for (const gone of ['copy', 'other']) {
      expect(await codeOf(rig.manager.sessions.show(ADA, id(gone)))).toBe('session_deleted');
    }
  });

  it('does not take the id of a deleted session', async () => {
    await rig.turn({ session: 'copy', turn: 1 });
    await rig.manager.sessions.delete(ADA, id('copy'));
    expect(await codeOf(fork({ turn: 1 }))).toBe('session_deleted');
  });

  it.each([
    ['a turn that is not there', { turn: 4 }, 'invalid_request'],
    ['a context that is not there', { contextId: 'f'.repeat(32) }, 'invalid_request'],
    ['a session that is not there', { sessionId: 'nobody', turn: 1 }, 'session_not_found'],
    ["another user's session", { userId: 'bob', turn: 1 }, 'session_not_found'],
  ])('of %s is refused, and leaves nothing', async (_, ask, code) => {
    expect(await codeOf(fork(ask))).toBe(code);
    expect(await codeOf(rig.manager.sessions.show(ADA, id('copy')))).toBe('session_not_found');
    expect(await codeOf(rig.manager.sessions.show('bob' as never, id('copy')))).toBe('session_not_found');
  });

  it('of a deleted session, and of an expired one, is refused', async () => {
    await rig.turn({ session: 'short', turn: 1, ttlSeconds: 1 });
    await rig.environment.advance(1000);
    expect(await codeOf(fork({ sessionId: 'short', turn: 1 }))).toBe('session_not_found');
    await rig.manager.sessions.delete(ADA, id('s'));
    expect(await codeOf(fork({ turn: 1 }))).toBe('session_deleted');
  });

  it('waits for the turn that runs', async () => {
    const hold = rig.llm.hold();
    const turn = rig.turn({ session: 's', turn: 4 });
    await hold.entered;
    const made = fork({ turn: 4 });
    await rig.settled();
    hold.release();
    await turn;
    expect(await made).toMatchObject({ turn: 4 });
  });

  it('into each other’s source, both at once, do not wait for each other', async () => {
    await rig.turn({ session: 't', turn: 1, text: 'something else' });
    const both = [fork({ turn: 1, newSessionId: 't' }), fork({ sessionId: 't', turn: 1, newSessionId: 's' })];
    expect(await Promise.all(both.map(codeOf))).toEqual(['session_exists', 'session_exists']);
  });

  it('whose client left before it began is not made', async () => {
    const hold = rig.llm.hold();
    const turn = rig.turn({ session: 's', turn: 4 });
    await hold.entered;
    const leaver = new AbortController();
    const left = codeOf(fork({ turn: 3 }, { gone: leaver.signal }));
    leaver.abort();
    expect(await left).toBe('turn_cancelled');
    hold.release();
    await turn;
    expect(rig.records('copy')).toHaveLength(0);
  });

  it('of what can still be read of a damaged session saves it', async () => {
    rig.store.damagedTurns.add(3);
    rig.restart();
    expect(await codeOf(rig.turn({ session: 's', turn: 3, text: 'x' }))).toBe('context_corrupt');
    expect(await codeOf(fork({ turn: 3 }))).toBe('context_corrupt');
    await fork({ turn: 2 });
    rig.store.damagedTurns.clear();
    expect(await rig.turn({ session: 'copy', turn: 3 })).toMatchObject({ basedOnTurn: 2 });
  });

  it('is refused by a node that stops', async () => {
    await rig.node.close(0);
    expect(await codeOf(fork({ turn: 1 }))).toBe('shutting_down');
  });

  it('of many turns is written in order', async () => {
    await rig.turns('s', { from: 4, to: 150 });
    expect(await fork({ turn: 150 })).toMatchObject({ turn: 150 });
    expect(rig.records('copy').map(({ record }) => record.turn)).toEqual(Array.from({ length: 150 }, (_, i) => i + 1));
  });
});

describe('of a session with branches', () => {
  let main: string;
  let side: string;
  beforeEach(async () => {
    const replica = await replicaRig();
    const elsewhere = await contextManagerRig({ options: { nodeId: 'node-2' as never } });
    rig = replica;
    await elsewhere.turns('s', { to: 2, text: 'side' });
    await rig.turns('s', { to: 3, text: 'main' });
    for (const sealed of elsewhere.records('s')) await replica.store.arrive(sealed);
    main = rig.records('s')[2]?.hash as string;
    side = elsewhere.records('s')[1]?.hash as string;
  });

  it('takes the main line, or the one that context_id names', async () => {
    const texts = async (session: string) => (await saidIn(session)).map(([messages]) => messages?.[0]);
    await fork({ turn: 2, newSessionId: 'a' });
    await fork({ contextId: side, newSessionId: 'b' });
    await fork({ contextId: side, turn: 1, newSessionId: 'c' });
    await fork({ contextId: main, turn: 3, newSessionId: 'd' });
    expect(await texts('a')).toEqual(['main', 'main']);
    expect(await texts('b')).toEqual(['side', 'side']);
    expect(await texts('c')).toEqual(['side']);
    expect(await texts('d')).toEqual(['main', 'main', 'main']);
  });

  it('a turn beyond the one that context_id names is not guessed', async () => {
    expect(await errorOf(fork({ contextId: side, turn: 3 }))).toMatchObject({ code: 'invalid_request', param: 'turn' });
  });
});

describe('of a turn that has not arrived', () => {
  let records: SealedRecord[];
  beforeEach(async () => {
    const elsewhere = await contextManagerRig({ options: { nodeId: 'node-2' as never } });
    await elsewhere.turns('s', { to: 2 });
    records = elsewhere.records('s');
  });

  it.each(['turn', 'context_id'])('waits for it, named by %s', async (named) => {
    const node = await replicaRig();
    const ask = named === 'turn' ? { turn: 2 } : { contextId: records[1]?.hash };
    const made = fork(ask, { from: node });
    await node.settled();
    for (const sealed of records) await node.store.arrive(sealed);
    expect(await made).toMatchObject({ turn: 2, source: { contextId: records[1]?.hash } });
    expect(node.environment.pendingTimers).toBe(0);
  });

  it('gives up in bounded time: later, or elsewhere; and says it when there is no such session', async () => {
    const node = await replicaRig();
    const unknown = codeOf(fork({ turn: 2 }, { from: node }));
    await node.environment.advance(1000);
    expect(await unknown).toBe('session_not_found');
    await node.store.arrive(records[0] as SealedRecord);
    const late = errorOf(fork({ turn: 2 }, { from: node }));
    await node.environment.advance(1000);
    expect(await late).toMatchObject({ code: 'context_stale', retryAfterMs: expect.any(Number) });
  });
});

it('every record of a node that has a key is signed, a copy anew, and a fork that is asked for again is the one that is there', async () => {
  const node = await replicaRig();
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = { keyId: keyIdOf(publicKey), sign: (message: Uint8Array) => signWith(privateKey, message) };
  Object.assign(node.store.sharing, { seal: (record: TurnRecord) => sealSigned(record, signer) });
  for (const turn of [1, 2]) await node.turn({ session: 's', turn });
  expect((await fork({ turn: 2 }, { from: node })).replayed).toBe(false);
  expect((await fork({ turn: 2 }, { from: node })).replayed).toBe(true);
  const signed = [...node.records('s'), ...node.records('copy')].map(({ record }) => signatureOf(record));
  expect(signed).toHaveLength(4);
  for (const each of signed)
    expect(isSignedWith(publicKey, each?.message as Uint8Array, each?.signature as Uint8Array)).toBe(true);
});

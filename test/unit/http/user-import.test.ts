// Everything of a user comes back at another node, as it was and with the same ids: in whatever pieces it is sent, once however
// often, and nothing of it that was changed, is not its to take, or comes after the user was erased.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import { UserImports } from '../../../src/context-manager/users/user-imports.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type Answer, type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

const WAIT_MS = 30_000;
const PREFERENCES = { tone: 'brief', language: 'English' };

const folder = temporaryFolder();
const keys: Record<string, string> = {};
let from: InProcessNode;
let to: InProcessNode;
/** Of ada, from the first node. */
let exported: Json;

beforeAll(async () => {
  const kept = new KeyFolder(join(folder.path, 'keys'));
  const keyOf = async (name: string, asked: Parameters<typeof newKey>[1]) => {
    keys[name] = (await newKey(kept, asked)).text;
  };
  await keyOf('ada', { user: 'ada' });
  await keyOf('bob', { user: 'bob' });
  await keyOf('few', { user: 'few', limits: { sessions: 2 } });
  await keyOf('small', { user: 'small', limits: { bytes: 2_000 } });
  await keyOf('reader', { user: 'ada', scopes: ['user', 'read-only'] });
  await keyOf('service', { scopes: ['service'] });
  await keyOf('operator', { scopes: ['operator'] });
  from = await startTestNode();
  to = await startTestNode({ keysDir: kept.path, store: 'leveldb', dataDir: join(folder.path, 'data') });
  for (const [session_id, mode] of [
    ['ids', 'tokenized'],
    ['text', 'raw'],
    ['short', 'tokenized'],
  ] as const)
    for (const turn of session_id === 'short' ? [1] : [1, 2, 3])
      await from.turn({
        ...{ session_id, turn, mode, user_id: 'ada' },
        prompt: session_id === 'short' ? 'Hello.' : `${session_id} ${turn} `.repeat(60),
      });
  await from.put('/users/ada/preferences', { preferences: PREFERENCES });
  await from.put('/users/ada/lifetime', { ttl_seconds: 3_600 });
  exported = (await from.get('/users/ada/export')).body;
  expect(exported.sessions).toHaveLength(3);
});
afterAll(async () => {
  await from.close();
  await to.close();
  folder.remove();
});

const json = (body: object) => ({ body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });

function ask(method: string, path: string, key: string, body?: object): Promise<Answer> {
  const { headers = {}, ...sent } = body === undefined ? {} : json(body);
  return to.request(method, path, { ...sent, headers: { ...headers, authorization: `Bearer ${keys[key]}` } });
}
const importAs = (key: string, user: string, body: object = exported) =>
  ask('POST', `/users/${user}/import`, key, body);
const erase = (user: string) => ask('DELETE', `/users/${user}?max_wait_ms=30000`, 'service');

/** A request whose body is sent in pieces, each when it is asked for. */
function sendPieces(user: string, pieces: AsyncIterable<string>, signal?: AbortSignal): Promise<Response> {
  const body = ReadableStream.from(
    (async function* () {
      for await (const piece of pieces) yield Buffer.from(piece);
    })(),
  );
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${keys.service}` };
  const init = { method: 'POST', headers, body, duplex: 'half', ...(signal && { signal }) };
  return fetch(`${to.url}/users/${user}/import`, init as RequestInit);
}

/** What a session says, without when it ends, where it is and the names of its histories. */
function said({ session_id, mode, turns }: Json): Json {
  const turn = ({ turn, user, reply, prompt_ids, reply_ids, exact_ids, written_at }: Json) => ({
    ...{ turn, user, reply, prompt_ids, reply_ids, exact_ids, written_at },
  });
  return { session_id, mode, turns: turns.map(turn) };
}
const sessionsOf = async (user: string) => (await ask('GET', `/users/${user}/export`, 'service')).body.sessions;
const states = ({ sessions }: Json) => sessions.map(({ session_id, state }: Json) => [session_id, state]);
const every = (state: string) => ['ids', 'short', 'text'].map((id) => [id, state]);

it('comes back whole at a node that had nothing, goes on there, and is found when it is sent again', async () => {
  const answer = await importAs('ada', 'ada');
  expect(answer.status, answer.text).toBe(200);
  expect(answer.body).toMatchObject({
    ...{ user_id: 'ada', imported: 3, already_here: 0, refused: 0 },
    ...{ preferences: { state: 'imported' }, ttl_seconds: { state: 'imported' } },
  });
  expect(states(answer.body)).toEqual(every('imported'));
  const { sessions, preferences, ttl_seconds } = (await ask('GET', '/users/ada/export', 'ada')).body;
  expect(sessions.map(said)).toEqual(exported.sessions.map(said));
  expect({ preferences, ttl_seconds }).toEqual({ preferences: PREFERENCES, ttl_seconds: 3_600 });

  const next = { prompt: 'And then?', session_id: 'ids', turn: 4, seed: 1 };
  const { context_id } = answer.body.sessions[0];
  const here = await ask('POST', '/completion', 'ada', { ...next, context_id });
  const there = await from.turn({ ...next, user_id: 'ada' });
  expect(here.body).toMatchObject({ content: there.content, based_on_turn: 3 });
  const ids = (all: Json) => all.find(({ session_id }: Json) => session_id === 'ids').turns;
  const idsThere = ids((await from.get('/users/ada/export')).body.sessions);
  expect(said({ turns: ids(await sessionsOf('ada')).slice(0, 3) })).toEqual(said({ turns: idsThere.slice(0, 3) }));
  expect(ids(await sessionsOf('ada'))[3].prompt_ids).toEqual(idsThere[3].prompt_ids);

  const again = await importAs('ada', 'ada');
  expect(again.body).toMatchObject({ preferences: { state: 'already_here' }, ttl_seconds: { state: 'already_here' } });
  expect(states(again.body)).toEqual(every('already_here'));
  expect(again.body.sessions[0]).toMatchObject({ turn: 4, context_id: here.body.context_id });
  await erase('ada');
});

it('in pieces of any size, as they come', async () => {
  const text = JSON.stringify(exported, undefined, 1);
  async function* pieces() {
    for (let at = 0; at < text.length; at += 1_009) yield text.slice(at, at + 1_009);
  }
  const answer = await sendPieces('pieces', pieces());
  expect(states(await answer.json())).toEqual(every('imported'));
  expect((await sessionsOf('pieces')).map(said)).toEqual(exported.sessions.map(said));
});

it('what is refused keeps nothing else out, and says why', async () => {
  const [ids, short, text] = exported.sessions;
  await ask('POST', '/completion', 'bob', { prompt: 'Mine.', session_id: 'short', turn: 1 });
  await ask('POST', '/completion', 'bob', { prompt: 'Gone.', session_id: 'gone', turn: 1 });
  await ask('DELETE', '/sessions/gone', 'bob');
  await ask('PUT', '/users/bob/preferences', 'bob', { preferences: 'Mine.' });
  const forged = { ...text, session_id: 'forged', turns: [{ ...text.turns[0], reply: 'Something else.' }] };
  const body = {
    ...exported,
    ttl_seconds: 1e9,
    sessions: [
      ...[short, { ...ids, session_id: 'gone' }, { ...ids, keygroup: '0'.repeat(16) }, forged, 7],
      ...[{ session_id: 'empty' }, text],
    ],
  };
  const answer = await importAs('bob', 'bob', body);
  expect(answer.status).toBe(200);
  const told = answer.body.sessions.map(({ session_id, state, error }: Json) => [session_id, state, error?.code]);
  expect(told).toEqual([
    ['short', 'refused', 'session_exists'],
    ['gone', 'refused', 'session_deleted'],
    ['ids', 'refused', 'model_not_found'],
    ['forged', 'refused', 'invalid_request'],
    [undefined, 'refused', 'invalid_request'],
    ['empty', 'refused', 'invalid_request'],
    ['text', 'imported', undefined],
  ]);
  expect(answer.body).toMatchObject({
    ...{ imported: 1, already_here: 0, refused: 6 },
    preferences: { state: 'refused', error: { code: 'version_conflict' } },
    ttl_seconds: { state: 'refused', error: { code: 'invalid_request' } },
  });
  expect((await sessionsOf('bob')).map(({ session_id }: Json) => session_id)).toEqual(['short', 'text']);
  expect((await ask('GET', '/users/bob/preferences', 'bob')).body.preferences).toBe('Mine.');
});

it('a user imports into itself, a service into whom it acts for, and an operator into nobody', async () => {
  for (const key of ['ada', 'reader', 'operator']) expect((await importAs(key, 'bob')).status, key).toBe(403);
  expect((await importAs('reader', 'ada')).status).toBe(403);
  expect((await importAs('bob', 'nobody')).status).toBe(403);
  expect(states((await importAs('service', 'carol')).body)).toEqual(every('imported'));
});

it('and has no more of them than it may', async () => {
  const few = await importAs('few', 'few');
  expect(states(few.body)).toEqual([
    ['ids', 'imported'],
    ['short', 'imported'],
    ['text', 'refused'],
  ]);
  expect(few.body.sessions[2].error.code).toBe('quota_exceeded');
  expect(states((await importAs('few', 'few')).body).map(([, state]: string[]) => state)).toEqual([
    ...['already_here', 'already_here', 'refused'],
  ]);
  const small = await importAs('small', 'small');
  expect(small.body.sessions.map(({ state, error }: Json) => error?.code ?? state)).toEqual([
    ...['quota_exceeded', 'imported', 'quota_exceeded'],
  ]);
  expect((await importAs('small', 'small')).body).toMatchObject({ imported: 0, already_here: 1, refused: 2 });
});

it('what is no export is refused, and what had come of it before is here', async () => {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${keys.service}` };
  const send = (body: string, more: object = {}) =>
    to.request('POST', '/users/dora/import', { body, headers: { ...headers, ...more } });
  const text = JSON.stringify(exported);
  const [session] = exported.sessions;
  for (const bad of ['', '{}', '[]', '{"sessions":7}', text.slice(1), JSON.stringify(session)]) {
    const answer = await send(bad);
    expect([answer.status, answer.body.error.type], bad.slice(0, 20)).toEqual([400, 'invalid_request']);
  }
  for (const [name, value] of [
    ['content-encoding', 'gzip'],
    ['content-type', 'text/plain'],
  ] as const)
    expect((await send(text, { [name]: value })).status, name).toBe(415);
  expect(await sessionsOf('dora')).toEqual([]);
  expect((await send(text.slice(0, text.indexOf('"session_id":"text"')))).status).toBe(400);
  expect((await sessionsOf('dora')).map(({ session_id }: Json) => session_id)).toEqual(['ids', 'short']);
});

describe('what would take far more memory than it has bytes', () => {
  const parse = vi.spyOn(JSON, 'parse');
  const send = async (user: string, body: string) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${keys.service}` };
    parse.mockClear();
    const response = await fetch(`${to.url}/users/${user}/import`, { method: 'POST', headers, body });
    const longestParsed = Math.max(...parse.mock.calls.map(([text]) => String(text).length));
    return { status: response.status, body: (await response.json()) as Json, longestParsed };
  };
  const WEIGHT_MAX = 16 * 1024 * 1024;
  const objects = `[${'{},'.repeat(WEIGHT_MAX / 4)}{}]`;

  it.each([
    ['as a session', objects],
    ['in a session', `{"session_id":"short","turns":${objects}}`],
    ['in one another', `${'['.repeat(WEIGHT_MAX / 3 + 1)}${']'.repeat(WEIGHT_MAX / 3 + 1)}`],
  ])('%s is refused unread, and what stands beside it comes in', async (_where, session) => {
    const { status, body, longestParsed } = await send(
      'fay',
      `{"sessions":[${session},${JSON.stringify(exported.sessions[1])}]}`,
    );
    expect(status).toBe(200);
    expect(body.sessions).toMatchObject([
      { state: 'refused', error: { code: 'payload_too_large' } },
      { session_id: 'short', state: expect.stringMatching(/^(imported|already_here)$/) },
    ]);
    expect(longestParsed).toBeLessThan(100_000);
  });

  it('of the user is refused unread, and what nobody reads is passed over', async () => {
    const long = JSON.stringify('x'.repeat(1e6));
    const { status, body, longestParsed } = await send(
      'gus',
      `{"user_id":${long},"more":${objects},"preferences":${long},"ttl_seconds":[${long}],"sessions":[[1,[2]],{"more":7}]}`,
    );
    expect(status).toBe(200);
    const tooLarge = { state: 'refused', error: { code: 'payload_too_large' } };
    const invalid = { state: 'refused', error: { code: 'invalid_request' } };
    expect(body).toMatchObject({ preferences: tooLarge, ttl_seconds: tooLarge, sessions: [invalid, invalid] });
    expect(longestParsed).toBeLessThan(100);
  });

  it('and no session does that was exported, of however short turns', () => {
    for (const session of exported.sessions) {
      const text = JSON.stringify(session).replace(/"(?:[^"\\]|\\.)*"/g, (quoted) => '"'.padEnd(quoted.length, '.'));
      const weight = 3 * (text.match(/["{[]/g)?.length ?? 0) + (text.match(/,/g)?.length ?? 0);
      expect((text.length / weight) * WEIGHT_MAX, session.session_id).toBeGreaterThan(64 * 1024 * 1024);
    }
  });
});

it('a client that leaves keeps nobody from sending it again', async () => {
  const leaving = new AbortController();
  const text = JSON.stringify(exported);
  const isHere = (id: string) => async () =>
    expect((await ask('GET', `/sessions/${id}?user_id=emma`, 'service')).status).toBe(200);
  async function* pieces() {
    yield text.slice(0, text.indexOf('"session_id":"short"'));
    await vi.waitFor(isHere('ids'), { timeout: WAIT_MS });
    expect((await importAs('service', 'emma')).body.error.type).toBe('overloaded');
    leaving.abort();
    await new Promise(() => {});
  }
  await expect(sendPieces('emma', pieces(), leaving.signal)).rejects.toThrow();
  await vi.waitFor(
    async () =>
      expect(states((await importAs('service', 'emma')).body)).toEqual([
        ['ids', 'already_here'],
        ...every('imported').slice(1),
      ]),
    { timeout: WAIT_MS },
  );
});

it('nothing more of it comes in once the user is erased, nor while that is under way', async () => {
  const text = JSON.stringify(exported);
  const half = text.indexOf('"session_id":"short"');
  async function* pieces() {
    yield text.slice(0, half);
    await vi.waitFor(async () => expect((await ask('GET', '/sessions/ids?user_id=eve', 'service')).status).toBe(200), {
      timeout: WAIT_MS,
    });
    await erase('eve');
    yield text.slice(half);
  }
  const answer = await sendPieces('eve', pieces());
  expect([answer.status, ((await answer.json()) as Json).error.type]).toEqual([410, 'session_deleted']);
  expect(await sessionsOf('eve')).toEqual([]);
  expect((await ask('GET', '/users/eve/preferences', 'service')).body.preferences).toBeNull();
  expect(states((await importAs('service', 'eve')).body)).toEqual(every('imported'));

  const imports = new UserImports({ erasures: { isUnderWay: () => true } } as never);
  await expect(imports.run('eve' as UserId, async () => {})).rejects.toEqual(expect.any(DiscedgeError));
});

// Measures how long refusals take: of somebody else's session and of none, of an id that is sealed for another and of one that
// nobody sealed, of each kind of wrong key; in the process, and over a connection. Which is which must not be told by their times.
// That the measurement would see it is shown with a node that looks before it refuses, and with a check of keys that stops early.
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Access } from '../../src/access/access.ts';
import { isSecretOf, readApiKeyText } from '../../src/access/api-key.ts';
import { AskedAccess } from '../../src/access/asked-access.ts';
import { KeyFolder } from '../../src/access/key-folder.ts';
import { DiscedgeError } from '../../src/domain/errors.ts';
import type { SessionId, UserId } from '../../src/domain/identifiers.ts';
import type { App } from '../../src/http/app.ts';
import { newKey } from '../../tools/new-key.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { canBeTold, timeDifference } from '../support/answer-times.ts';
import { appOver } from '../support/app-rig.ts';
import { contextManagerRig, type Rig } from '../support/context-manager-rig.ts';
import { KeptConnection } from '../support/kept-connection.ts';

/** Of refusals by the app: less is lost in any network. */
const APP = { rounds: 1_500, marginUs: 1.5 };
const KEYS = { rounds: 3_000, marginUs: 0.7 };

const folder = temporaryFolder();
const keys = new KeyFolder(join(folder.path, 'keys'));
let rig: Rig;
let app: App;
let access: AskedAccess;
const key = { ada: '', bob: '', cyd: '', expired: '', revoked: '' };

beforeAll(async () => {
  rig = await contextManagerRig();
  const { clock } = rig.environment;
  for (const name of Object.keys(key) as (keyof typeof key)[]) {
    const { text, kept } = await newKey(keys, { user: name, ...(name === 'expired' && { expiresAtMs: 1 }) });
    if (name === 'revoked') await keys.put({ ...kept, revokedAtMs: 1 });
    key[name] = text;
  }
  access = new AskedAccess({ keys, tokens: undefined, clock, onlyLocal: false });
  app = await appOver(rig, access);
});
afterAll(async () => {
  await app.close();
  folder.remove();
});

interface Asked {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly body?: object;
  readonly as?: string | undefined;
}

const ask = async ({ method = 'GET', url, body, as = key.bob }: Asked) =>
  app.inject({
    method,
    url,
    headers: as === '' ? {} : { authorization: `Bearer ${as}` },
    ...(body && { payload: body }),
  });

/** Both are answered alike, but for what names them, with a refusal where nothing else is said. */
async function expectAlike(first: Asked, second: Asked, statusMin = 400): Promise<void> {
  const [one, other] = [await ask(first), await ask(second)];
  expect(one.statusCode).toBe(other.statusCode);
  expect(one.statusCode).toBeGreaterThanOrEqual(statusMin);
  expect(one.body.length).toBe(other.body.length);
}

/** Alike, and after the same time. */
async function expectNoneTold(first: Asked, second: Asked, statusMin?: number): Promise<void> {
  await expectAlike(first, second, statusMin);
  const difference = await timeDifference([() => ask(first), () => ask(second)], APP);
  expect(canBeTold(difference), JSON.stringify(difference)).toBe(false);
}

const named = <T extends (id: string) => Asked>(operations: readonly T[]) =>
  operations.map((of) => [`${of('…').method ?? 'GET'} ${of('…').url}`, of] as const);

it('the same asked twice cannot be told apart', async () => {
  const same = () => ask({ url: '/sessions/none' });
  expect(canBeTold(await timeDifference([same, same], APP))).toBe(false);
});

describe("somebody else's session, and none", () => {
  const OPERATIONS: readonly ((session: string) => Asked)[] = [
    (session) => ({ url: `/sessions/${session}` }),
    (session) => ({ url: `/sessions/${session}/export` }),
    (session) => ({ method: 'DELETE', url: `/sessions/${session}` }),
    (session) => ({ method: 'POST', url: `/sessions/${session}/fork`, body: { turn: 1 } }),
    (session) => ({ method: 'POST', url: '/completion', body: { prompt: 'x', session_id: session, turn: 2 } }),
  ];
  /** They succeed on whatever session is named, and do nothing on one that is not there. */
  const SAID_OF_ANY: readonly ((session: string) => Asked)[] = [
    (session) => ({ method: 'POST', url: `/sessions/${session}/coming`, body: {} }),
    (session) => ({ method: 'POST', url: `/sessions/${session}/cancel` }),
  ];
  beforeAll(async () => {
    await rig.turns('hers', { to: 3, user: 'ada', text: 'x'.repeat(200) });
  });

  it.each(named(OPERATIONS))('%s', async (_, of) => {
    await expectNoneTold(of('hers'), of('none'));
  });

  it.each(named(SAID_OF_ANY))('%s', async (_, of) => {
    await expectNoneTold(of('hers'), of('none'), 200);
  });
});

describe('a user of whom there is everything, and one of whom nothing', () => {
  const OPERATIONS: readonly ((user: string) => Asked)[] = [
    (user) => ({ url: `/users/${user}/export` }),
    (user) => ({ method: 'POST', url: `/users/${user}/import`, body: { sessions: [] } }),
    (user) => ({ url: `/users/${user}/preferences` }),
    (user) => ({ method: 'PUT', url: `/users/${user}/preferences`, body: { preferences: 'x' } }),
    (user) => ({ method: 'DELETE', url: `/users/${user}/preferences` }),
    (user) => ({ url: `/users/${user}/lifetime` }),
    (user) => ({ method: 'PUT', url: `/users/${user}/lifetime`, body: { ttl_seconds: 60 } }),
    (user) => ({ method: 'DELETE', url: `/users/${user}/lifetime` }),
    (user) => ({ method: 'DELETE', url: `/users/${user}` }),
    (user) => ({ url: `/users/${user}/erasures/${receipt}` }),
  ];
  let receipt = 'ab'.repeat(16);
  beforeAll(async () => {
    const told = async (asked: Asked) => {
      const answer = await ask({ ...asked, as: key.cyd });
      expect(answer.statusCode, answer.body).toBe(200);
      return answer.json();
    };
    receipt = (await told({ method: 'DELETE', url: '/users/cyd' })).receipt_id;
    await told({ method: 'PUT', url: '/users/cyd/preferences', body: { preferences: 'Be brief.' } });
    await told({ method: 'PUT', url: '/users/cyd/lifetime', body: { ttl_seconds: 60 } });
    await rig.turns('hers', { to: 3, user: 'cyd' });
  });

  it.each(named(OPERATIONS))('%s', async (_, of) => {
    await expectNoneTold(of('cyd'), of('dan'));
  });

  it('the receipt of an erasure of hers, asked for as of his own, and none', async () => {
    const of = (id: string) => ({ url: `/users/bob/erasures/${id}` });
    await expectNoneTold(of(receipt), of('ab'.repeat(16)));
  });
});

describe('an id that is sealed for another, and one that nobody has sealed', () => {
  const OPERATIONS: readonly [string, string, (id: string) => Asked][] = [
    ['response', 'shown', (id) => ({ url: `/v1/responses/${id}` })],
    ['response', 'its input', (id) => ({ url: `/v1/responses/${id}/input_items` })],
    ['response', 'deleted', (id) => ({ method: 'DELETE', url: `/v1/responses/${id}` })],
    ['response', 'cancelled', (id) => ({ method: 'POST', url: `/v1/responses/${id}/cancel` })],
    ['response', 'gone on from', (previous_response_id) => create({ input: 'x', previous_response_id })],
    ['conversation', 'shown', (id) => ({ url: `/v1/conversations/${id}` })],
    ['conversation', 'given metadata', (id) => ({ method: 'POST', url: `/v1/conversations/${id}`, body: noted })],
    ['conversation', 'deleted', (id) => ({ method: 'DELETE', url: `/v1/conversations/${id}` })],
    ['conversation', 'its items', (id) => ({ url: itemsIn(id) })],
    ['conversation', 'added to', (id) => ({ method: 'POST', url: itemsIn(id), body: { items } })],
    ['conversation', 'one of its items', (id) => ({ url: `${itemsIn(id)}/${ids.item}` })],
    ['conversation', 'one of its items deleted', (id) => ({ method: 'DELETE', url: `${itemsIn(id)}/${ids.item}` })],
    ['conversation', 'answered in', (conversation) => create({ input: 'x', conversation })],
    ['item', 'shown in one’s own conversation', (id) => ({ url: `${itemsIn(own())}/${id}` })],
    ['item', 'deleted from it', (id) => ({ method: 'DELETE', url: `${itemsIn(own())}/${id}` })],
    ['item', 'referred to', (id) => create({ input: [{ type: 'item_reference', id }, ...items] })],
    ['summary', 'gone on from', (id) => create({ input: [compaction(id), ...items] })],
    [
      'summary',
      'counted',
      (id) => ({ ...create({ input: [compaction(id), ...items] }), url: '/v1/responses/input_tokens' }),
    ],
    ['completion', 'shown', (id) => ({ url: `/v1/chat/completions/${id}` })],
    ['completion', 'its messages', (id) => ({ url: `/v1/chat/completions/${id}/messages` })],
    ['completion', 'given metadata', (id) => ({ method: 'POST', url: `/v1/chat/completions/${id}`, body: noted })],
    ['completion', 'deleted', (id) => ({ method: 'DELETE', url: `/v1/chat/completions/${id}` })],
  ];
  const items = [{ role: 'user', content: 'x' }];
  const noted = { metadata: { a: 'b' } };
  const itemsIn = (conversation: string) => `/v1/conversations/${conversation}/items`;
  const own = () => ids.own ?? '';
  const compaction = (encrypted_content: string) => ({ type: 'compaction', encrypted_content });
  const create = (body: object): Asked => ({ method: 'POST', url: '/v1/responses', body });
  const ids: Record<string, string> = {};
  beforeAll(async () => {
    const told = async (asked: Asked) => (await ask({ as: key.ada, ...asked })).json();
    const post = (url: string, body: object, as = key.ada) => told({ method: 'POST', url, body, as });
    ids.response = (await post('/v1/responses', { input: 'x' })).id;
    ids.conversation = (await post('/v1/conversations', { items })).id;
    ids.item = (await told({ url: itemsIn(ids.conversation ?? '') })).data[0].id;
    ids.own = (await post('/v1/conversations', { items }, key.bob)).id;
    ids.completion = (await post('/v1/chat/completions', { messages: items, store: true })).id;
    const { output } = await post('/v1/responses/compact', { previous_response_id: ids.response });
    ids.summary = output.find(({ type }: { type: string }) => type === 'compaction').encrypted_content;
  });

  it.each(OPERATIONS)('%s: %s', async (kind, _, of) => {
    const sealed = ids[kind] ?? '';
    const middle = sealed.length >> 1;
    const garbage = sealed.slice(0, middle) + (sealed[middle] === 'A' ? 'B' : 'A') + sealed.slice(middle + 1);
    await expectNoneTold(of(sealed), of(garbage));
  });
});

describe('keys that do not count', () => {
  const wrongSecret = () => `${key.ada.slice(0, -1)}${key.ada.endsWith('A') ? 'B' : 'A'}`;
  const unknownId = () => key.ada.replace(/^dsc_./, key.ada[4] === 'x' ? 'dsc_y' : 'dsc_x');
  const KINDS: readonly [string, () => string][] = [
    ['of an unknown id', unknownId],
    ['none', () => ''],
    ['expired', () => key.expired],
    ['revoked', () => key.revoked],
    ['no key at all', () => 'sk-1234'],
  ];
  const tried = (by: Pick<Access, 'authenticate'>, bearer: string) => () => {
    try {
      by.authenticate({ bearer });
    } catch {
      // It does not count.
    }
  };

  it.each(KINDS)('with a wrong secret, and %s: as they are checked', async (_, other) => {
    const difference = await timeDifference([tried(access, wrongSecret()), tried(access, other())], KEYS);
    expect(canBeTold(difference), JSON.stringify(difference)).toBe(false);
  });

  it.each(KINDS)('with a wrong secret, and %s: as they are answered', async (_, other) => {
    const [one, two] = [
      { url: '/sessions', as: wrongSecret() },
      { url: '/sessions', as: other() },
    ];
    await expectNoneTold(one, two);
  });

  it('a check that stops at an unknown id would be seen', async () => {
    const early: Pick<Access, 'authenticate'> = {
      authenticate({ bearer = '' }) {
        const { id = '', secret = '' } = readApiKeyText(bearer) ?? {};
        const known = keys.get(id);
        if (known === undefined || !isSecretOf(known, secret)) throw new DiscedgeError('unauthorized', 'no');
        return { name: id, scopes: new Set(known.scopes), userId: known.user };
      },
    };
    expect(canBeTold(await timeDifference([tried(early, wrongSecret()), tried(early, unknownId())], KEYS))).toBe(true);
  });
});

it('a session that is looked at before it is refused would be seen', async () => {
  const looking = async (session: string) => {
    const answer = ask({ url: '/sessions/none' });
    // What a check of the owner after the look-up would cost.
    await rig.manager.sessions.show('ada' as UserId, session as SessionId).catch(() => {});
    return answer;
  };
  expect(canBeTold(await timeDifference([() => looking('hers'), () => looking('none')], APP))).toBe(true);
});

describe('over a socket', () => {
  /** What a connection on one machine adds is as long for both, and comes and goes. */
  const SOCKET = { rounds: 2_500, marginUs: 1.5 };
  let connection: KeptConnection;
  beforeAll(async () => {
    await rig.turns('hers', { to: 3, user: 'ada', text: 'x'.repeat(200) });
    await app.listen({ port: 0, host: '127.0.0.1' });
    connection = new KeptConnection((app.server.address() as AddressInfo).port);
  });
  afterAll(() => connection.close());

  type Call = () => Promise<string>;
  const session = (id: string) => () => connection.get(`/sessions/${id}`, { authorization: `Bearer ${key.bob}` });
  const statusOf = (answer: string) => Number(answer.split(' ')[1]);
  async function differenceOf(first: Call, second: Call, status: number) {
    const [one, other] = [await first(), await second()];
    expect([statusOf(one), statusOf(other)]).toEqual([status, status]);
    expect(one.length).toBe(other.length);
    return timeDifference([first, second], SOCKET);
  }

  it("somebody else's session, and none", async () => {
    const difference = await differenceOf(session('hers'), session('none'), 404);
    expect(canBeTold(difference), JSON.stringify(difference)).toBe(false);
  });

  it('a wrong key, and none', async () => {
    const wrong = `Bearer ${key.ada.slice(0, -1)}${key.ada.endsWith('A') ? 'B' : 'A'}`;
    // As many bytes, none of which are a key.
    const asked = (header: string) => () => connection.get('/sessions', { [header]: wrong });
    const difference = await differenceOf(asked('authorization'), asked('x-other-thing'), 401);
    expect(canBeTold(difference), JSON.stringify(difference)).toBe(false);
  });

  it('a session that is looked at before it is refused would be seen', async () => {
    const { records } = rig.node;
    const load = records.load.bind(records);
    const looking = vi.spyOn(records, 'load').mockImplementation(async (of) => {
      if (of.userId === 'bob' && of.sessionId === 'hers')
        await rig.manager.sessions.show('ada' as UserId, of.sessionId).catch(() => {});
      return load(of);
    });
    const difference = await differenceOf(session('hers'), session('none'), 404);
    looking.mockRestore();
    expect(canBeTold(difference), JSON.stringify(difference)).toBe(true);
  });
});

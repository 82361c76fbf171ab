// Context layers as clients and operators meet them: what replies say of them, what requests leave out, what users prefer, and files
// that change. Tries to get a layer into a record, an export or a file, the preferences of somebody else, a change that is lost to
// another, a turn that pays for what has not changed, and a node that starts with layers for which there is no room.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import { define } from '../../../src/cli/commands/users.ts';
import { DiscedgeClient } from '../../../src/client/client.ts';
import { CHANGES_A_DAY_MAX } from '../../../src/context-manager/layers/user-preferences.ts';
import type { Scope } from '../../../src/domain/principals/principal.ts';
import { RegionalData } from '../../../src/edge-node/layers/regional-data.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';
import { filesWith } from '../../support/files-with.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const tokensOf = (layers: Json) => Object.fromEntries(layers.parts.map(({ name, tokens }: Json) => [name, tokens]));
const changedIn = (layers: Json) => layers.parts.filter(({ changed }: Json) => changed).map(({ name }: Json) => name);

describe.each(['tokenized', 'raw'] as const)('in mode %s', (mode) => {
  let node: InProcessNode;
  let regional: string;
  beforeAll(async () => {
    regional = folder.file(`region-${mode}.txt`, 'CANARYREGION is Wien.');
    node = await startTestNode({
      systemPromptFile: folder.file('deployment.txt', '  Answer politely, CANARYDEPLOYMENT.\n'),
      regionalData: regional,
      store: 'leveldb',
      dataDir: join(folder.path, mode),
      mode,
    });
    await node.put('/users/ada/preferences', { preferences: { tone: 'CANARYADA', length: 'short' } });
  });
  afterAll(() => node.close());
  const turn = (turn: number, more: object = {}) =>
    node.turn({ session_id: 's', user_id: 'ada', turn, prompt: `question ${turn}`, n_predict: 8, ...more });

  it('each layer is told, with its ids and what its change costs', async () => {
    const first = await turn(1, { system: 'Be brief.' });
    expect(Object.keys(tokensOf(first.layers))).toEqual(['deployment', 'region', 'preferences']);
    for (const tokens of Object.values(tokensOf(first.layers))) expect(tokens).toBeGreaterThan(0);
    expect(changedIn(first.layers)).toEqual([]);
    const second = await turn(2);
    expect(second.layers).toEqual({ ...first.layers, tokens_rewritten: 0 });
    expect(second.timings.cache_n).toBeGreaterThanOrEqual(first.tokens_evaluated + first.tokens_predicted - 1);

    await node.put('/users/ada/preferences', { preferences: 'CANARYADA, at length.' });
    const third = await turn(3);
    expect(changedIn(third.layers)).toEqual(['preferences']);
    expect(third.layers.tokens_rewritten).toBeGreaterThan(0);
    expect(third.timings.prompt_n).toBeGreaterThanOrEqual(third.layers.tokens_rewritten);
    const { deployment = 0, region = 0 } = tokensOf(third.layers) as Record<string, number>;
    expect(third.timings.cache_n).toBeGreaterThanOrEqual(deployment + region);

    writeFileSync(regional, 'CANARYREGION is Linz, and has been for a while.');
    await expect
      .poll(async () => (await node.turn({ prompt: 'x', n_predict: 1 })).layers.parts[1].tokens)
      .not.toBe(region);
    const fourth = await turn(4);
    expect(changedIn(fourth.layers)).toEqual(['region']);
    expect(fourth.layers.tokens_rewritten).toBeGreaterThan(third.layers.tokens_rewritten);
    const fifth = await turn(5);
    expect([changedIn(fifth.layers), fifth.layers.tokens_rewritten]).toEqual([[], 0]);
    expect((await turn(5)).layers).toBeUndefined();
  });

  it('a request does without the region, or the preferences, and never without what the operator says', async () => {
    const all = await node.turn({ prompt: 'x', user_id: 'ada', n_predict: 1 });
    const without = async (layers: unknown) => {
      const reply = await node.turn({ prompt: 'x', user_id: 'ada', n_predict: 1, layers });
      return [Object.keys(tokensOf(reply.layers)), all.tokens_evaluated - reply.tokens_evaluated] as const;
    };
    expect(await without({})).toEqual([['deployment', 'region', 'preferences'], 0]);
    const [some, fewer] = await without({ preferences: false });
    expect([some, fewer > 0]).toEqual([['deployment', 'region'], true]);
    expect((await without({ region: false }))[0]).toEqual(['deployment', 'preferences']);
    expect((await without(false))[0]).toEqual(['deployment']);
    for (const layers of [true, { deployment: false }, 'none'])
      expect((await node.post('/completion', { prompt: 'x', layers })).status, String(layers)).toBe(400);
  });

  it('nobody has the preferences of another', async () => {
    const reply = await node.turn({ prompt: 'x', user_id: 'ada ', n_predict: 1 });
    expect(Object.keys(tokensOf(reply.layers))).toEqual(['deployment', 'region']);
  });

  it('no record, no export and no file has a layer', async () => {
    for (const path of ['/sessions/s/export?user_id=ada', '/sessions/s?user_id=ada']) {
      const { text } = await node.get(path);
      expect(text).toContain('question 1');
      expect(text).not.toContain('CANARY');
    }
    await node.close();
    const found = (...words: readonly string[]) => filesWith(join(folder.path, mode), ...words);
    if (mode === 'raw') expect(await found('question 1')).not.toEqual([]);
    expect(await found('CANARYREGION', 'CANARYDEPLOYMENT')).toEqual([]);
    // Those are a document of their own.
    expect(await found('CANARYADA')).not.toEqual([]);
  });
});

describe('the region of a node', () => {
  let node: InProcessNode | undefined;
  afterEach(() => node?.close());
  const region = async () => {
    const { layers } = await (node as InProcessNode).turn({ prompt: 'x', n_predict: 1 });
    return layers?.parts[0];
  };

  it('is files of a folder, by name, taken up as they come and go', async () => {
    const path = join(folder.path, 'regions');
    mkdirSync(path);
    node = await startTestNode({ regionalData: path });
    expect(await region()).toBeUndefined();
    writeFileSync(join(path, 'b.md'), 'two words');
    writeFileSync(join(path, 'no.json'), 'x'.repeat(10_000));
    await expect.poll(region).toMatchObject({ name: 'region' });
    const { tokens } = await region();
    writeFileSync(join(path, 'a.txt'), 'three words more');
    await expect.poll(async () => (await region()).tokens).toBeGreaterThan(tokens);
    rmSync(join(path, 'a.txt'));
    await expect.poll(async () => (await region()).tokens).toBe(tokens);
  });

  it('stays what it was where a change is refused, until the files change again', async () => {
    const path = folder.file('changing.txt', 'one');
    const data = new RegionalData(path, (text) => text);
    const refuse = async () => Promise.reject(new Error('no room'));
    await expect(data.reload(refuse)).rejects.toThrow('no room');
    expect(data.layer).toBeUndefined();
    expect(await data.reload(refuse)).toBe(false);
    writeFileSync(path, 'another one');
    expect(await data.reload(async () => {})).toBe(true);
    writeFileSync(path, 'x'.repeat(70_000));
    await expect(data.reload(async () => {})).rejects.toMatchObject({ code: 'config_invalid' });
    rmSync(path);
    await expect(data.reload(async () => {})).rejects.toMatchObject({ code: 'config_invalid' });
    expect(data.layer?.text).toBe('another one');
  });
});

describe('a node does not start', () => {
  const refusal = (flags: object) => expect(startTestNode({ ...flags }).then((node) => node.close())).rejects;

  it('with layers that leave a conversation no room', async () => {
    const systemPromptFile = folder.file('long.txt', 'word '.repeat(400));
    await refusal({ systemPromptFile, contextTokens: 256 }).toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('half of the context window'),
    });
    await refusal({ regionalData: systemPromptFile, contextTokens: 256 }).toMatchObject({ code: 'config_invalid' });
  });

  it('with a file that is not there, or far too long', async () => {
    const nowhere = join(folder.path, 'nowhere');
    await refusal({ systemPromptFile: nowhere }).toMatchObject({ code: 'config_invalid' });
    await refusal({ regionalData: nowhere }).toMatchObject({ code: 'config_invalid' });
    const huge = folder.file('huge.txt', 'x'.repeat(70_000));
    await refusal({ systemPromptFile: huge }).toMatchObject({ code: 'config_invalid' });
    await refusal({ regionalData: huge }).toMatchObject({ code: 'config_invalid' });
  });

  it('with a prompt for a model whose chat template takes no system message', async () => {
    const chatTemplateFile = folder.file(
      'no-system.jinja',
      "{%- for m in messages -%}{%- if m.role == 'system' -%}{{ raise_exception('no system role') }}{%- endif -%}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{%- endfor -%}<|im_start|>assistant\n",
    );
    await refusal({ chatTemplateFile, systemPromptFile: folder.file('short.txt', 'Be kind.') }).toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('no system message'),
    });
    const node = await startTestNode({ chatTemplateFile });
    await node.put('/users/ada/preferences', { preferences: 'kind' });
    expect((await node.turn({ prompt: 'x', user_id: 'ada' })).layers).toBeUndefined();
    await node.close();
  });
});

describe('preferences', () => {
  let node: InProcessNode;
  const keys: Record<string, string> = {};
  beforeAll(async () => {
    const keysDir = join(folder.path, 'keys');
    const own = new KeyFolder(keysDir);
    const made: [string, Scope[], string][] = [
      ['ada', ['user'], 'ada'],
      ['bob', ['user'], 'bob'],
      ['reader', ['user', 'read-only'], 'ada'],
      ['service', ['service'], 'gateway'],
      ['operator', ['operator'], 'admin'],
    ];
    for (const [name, scopes, user] of made) {
      keys[name] = `Bearer ${(await newKey(own, { scopes, user })).text}`;
    }
    node = await startTestNode({ keysDir });
  });
  afterAll(() => node.close());
  const path = '/users/ada/preferences';
  const as = (who: string) => ({ authorization: keys[who] as string });
  const set = (preferences: unknown, who = 'ada', more: object = {}, headers: Record<string, string> = {}) =>
    node.put(path, { preferences, ...more }, { ...as(who), ...headers });

  it('are their user’s, and of who acts for it; nobody else’s, an operator’s neither', async () => {
    for (const who of ['bob', 'operator']) {
      for (const method of ['GET', 'DELETE'])
        expect((await node.request(method, path, { headers: as(who) })).status, who).toBe(403);
      expect((await set('mine', who)).status).toBe(403);
    }
    expect((await set('mine', 'reader')).status).toBe(403);
    expect((await set('of ada', 'ada')).body).toEqual({ user_id: 'ada', preferences: 'of ada', version: 1 });
    expect((await set('of a service', 'service')).body.version).toBe(2);
    for (const who of ['ada', 'service', 'reader'])
      expect((await node.request('GET', path, { headers: as(who) })).body.preferences).toBe('of a service');
    const other = await node.request('GET', '/users/bob/preferences', { headers: as('bob') });
    expect(other.body).toEqual({ user_id: 'bob', preferences: null, version: 0 });
  });

  it('are changed by whoever has seen what is changed', async () => {
    const { version } = (await node.request('GET', path, { headers: as('ada') })).body;
    const [one, two] = await Promise.all([set('one', 'ada', { version }), set('two', 'ada', { version })]);
    expect([one.status, two.status].sort()).toEqual([200, 412]);
    expect((one.status === 412 ? one : two).body.error.type).toBe('version_conflict');
    const again = await set('three', 'ada', {}, { 'if-match': `"${version + 1}"` });
    expect([again.status, again.headers.get('etag')]).toEqual([200, `"${version + 2}"`]);
    expect((await set('four', 'ada', {}, { 'if-match': '"1"' })).status).toBe(412);
    expect((await set('four', 'ada', {}, { 'if-match': 'x' })).status).toBe(400);
  });

  it('are changed so often in a day, at most, and can be taken away then; what is not there is not taken away', async () => {
    const headers = as('service');
    const often = (method: string, preferences?: string) =>
      node.request(method, '/users/often/preferences', {
        headers: preferences === undefined ? headers : { ...headers, 'content-type': 'application/json' },
        ...(preferences !== undefined && { body: JSON.stringify({ preferences }) }),
      });
    expect((await often('DELETE')).body.version).toBe(0);
    for (let version = 1; version <= CHANGES_A_DAY_MAX; version++)
      expect((await often('PUT', `version ${version}`)).status).toBe(200);
    const refused = await often('PUT', 'once more');
    expect([refused.status, refused.body.error.type]).toEqual([429, 'rate_limited']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(60 * 60);
    for (const _ of 'two')
      expect((await often('DELETE')).body).toMatchObject({ preferences: null, version: CHANGES_A_DAY_MAX + 1 });
    expect((await often('PUT', 'and again')).status).toBe(429);
    expect((await set('somebody else')).status).toBe(200);
  });

  it('are small, and text', async () => {
    for (const wrong of [1, null, ['x'], { a: 1 }, { a: { b: 'c' } }, '\ud800', 'x'.repeat(9_000)])
      expect((await set(wrong)).status, JSON.stringify(wrong).slice(0, 40)).toBe(400);
    const names = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`n${index}`, 'x']));
    expect((await set(names)).status).toBe(400);
  });

  it('stand before every conversation of their user, and are gone when they are taken away', async () => {
    await set({ tone: 'brief' });
    const ask = async (who: string, api: string, body: object): Promise<Json> => {
      const headers = { 'content-type': 'application/json', ...as(who) };
      return (await node.request('POST', api, { body: JSON.stringify(body), headers })).body;
    };
    const chat = { messages: [{ role: 'user', content: 'x' }], max_tokens: 2 };
    const told = async (who: string, more: object = {}) =>
      (await ask(who, '/v1/chat/completions', { ...chat, ...more })).choices[0].discedge?.layers;
    expect(tokensOf(await told('ada')).preferences).toBeGreaterThan(0);
    expect(tokensOf((await ask('ada', '/v1/messages', chat)).discedge.layers).preferences).toBeGreaterThan(0);
    expect(await told('ada', { layers: false, messages: [{ role: 'user', content: 'y' }] })).toBeUndefined();
    expect(await told('bob')).toBeUndefined();
    // A conversation that nobody keeps is its client's own.
    expect(await told('ada', { store: false })).toBeUndefined();
    const cleared = await node.request('DELETE', path, { headers: as('ada') });
    expect(cleared.body).toMatchObject({ preferences: null });
    expect(await told('ada', { messages: [{ role: 'user', content: 'z' }] })).toBeUndefined();
  });
});

it('the command line sets, prints and takes them away, and an export has them', async () => {
  const node = await startTestNode();
  const run = async (...args: string[]) => {
    const printed: string[] = [];
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
    try {
      const command = new Command('users').exitOverride();
      define(command);
      await command.parseAsync(['preferences', 'ada', ...args, '--url', node.url], { from: 'user' });
    } finally {
      write.mockRestore();
    }
    return printed.join('');
  };
  expect(JSON.parse(await run())).toEqual({ preferences: null, version: 0 });
  await run('--set', folder.file('preferences.txt', 'brief, please\n'));
  expect(JSON.parse(await run())).toEqual({ preferences: 'brief, please', version: 1 });
  await run('--set', folder.file('preferences.json', '{"tone": "brief"}'));
  expect((await node.get('/users/ada/export')).body).toMatchObject({ preferences: { tone: 'brief' }, sessions: [] });
  await run('--clear');
  expect(JSON.parse(await run())).toEqual({ preferences: null, version: 3 });
  const { users } = new DiscedgeClient({ nodes: node.url });
  await expect(users.setPreferences('ada', 'x', { version: 1 })).rejects.toMatchObject({ code: 'version_conflict' });
  await node.close();
});

it('preferences go with all that is a user’s when it is erased', async () => {
  const node = await startTestNode();
  await node.put('/users/ada/preferences', { preferences: 'brief' });
  expect((await node.turn({ prompt: 'x', user_id: 'ada' })).layers.parts).toHaveLength(1);
  expect((await node.request('DELETE', '/users/ada')).status).toBe(200);
  expect((await node.get('/users/ada/preferences')).body).toMatchObject({ preferences: null, version: 0 });
  expect(await node.turn({ prompt: 'y', user_id: 'ada' })).not.toHaveProperty('layers');
  expect((await node.put('/users/ada/preferences', { preferences: 'anew' })).body.version).toBe(1);
  expect((await node.turn({ prompt: 'z', user_id: 'ada' })).layers.parts).toHaveLength(1);
  await node.close();
});

it('where there are no layers, nothing is told of them', async () => {
  const node = await startTestNode();
  expect(await node.turn({ prompt: 'x' })).not.toHaveProperty('layers');
  await node.close();
});

// The audit log: what operators and services do, and to whose; never what anybody said, no key, and nothing that fills the disk.
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { AuditFile } from '../../../src/access/audit-file.ts';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import type { Scope } from '../../../src/domain/principals/principal.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type Json, startTestNode } from '../../../tools/test-node.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

const linesOf = (path: string): Json[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

it('has who did what to whose, and no word that was said', async () => {
  const keys = new KeyFolder(join(folder.path, 'keys'));
  const path = join(folder.path, 'audit.jsonl');
  const keyOf = async (scopes: readonly Scope[], user?: string) => {
    const made = await newKey(keys, { scopes, user });
    return { ...made, id: made.kept.id };
  };
  const [ada, service, operator] = [await keyOf(['user'], 'ada'), await keyOf(['service']), await keyOf(['operator'])];
  const node = await startTestNode({ keysDir: keys.path, auditLog: path });
  const ask = (method: string, at: string, key: string, body?: object) =>
    node.request(method, at, {
      headers: { authorization: `Bearer ${key}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  const said = 'canary-7f3a91';
  for (const session_id of ['a', 'b', 'c'])
    await ask('POST', '/completion', ada.text, { prompt: said, session_id, turn: 1 });
  const exported = (await ask('GET', '/sessions/a/export', ada.text)).body;
  await ask('DELETE', '/sessions/a', ada.text);
  await ask('GET', '/sessions/b/export?user_id=ada', service.text);
  await ask('DELETE', '/sessions/b?user_id=ada', service.text);
  await ask('POST', '/sessions/import?user_id=ada&as=back', service.text, exported);
  await ask('GET', '/users/ada/export', service.text);
  await ask('POST', '/users/ada/import', service.text, { sessions: [exported], preferences: said });
  await ask('DELETE', '/users/ada/preferences', service.text);
  const sessionOf: Record<string, string> = {};
  const deleted = async (path: string, body: object) => {
    const before = await sessionsOf();
    const { id } = (await ask('POST', path, ada.text, body)).body;
    const [session] = (await sessionsOf()).filter((one) => !before.includes(one));
    sessionOf[path] = session as string;
    expect((await ask('DELETE', `${path}/${id}`, service.text)).status, path).toBe(200);
  };
  const sessionsOf = async (): Promise<string[]> =>
    (await ask('GET', '/sessions', ada.text)).body.data.map(({ session_id }: Json) => session_id);
  const items = [{ role: 'user', content: said }];
  await deleted('/v1/responses', { input: said });
  await deleted('/v1/chat/completions', { messages: items, store: true });
  await deleted('/v1/conversations', { items });
  const conversation = (await ask('POST', '/v1/conversations', ada.text, { items })).body.id;
  const item = (await ask('GET', `/v1/conversations/${conversation}/items`, ada.text)).body.data[0].id;
  await ask('DELETE', `/v1/conversations/${conversation}/items/${item}`, service.text);
  await ask('DELETE', '/v1/responses/resp_unknown', service.text);
  await ask('PUT', '/users/ada/lifetime', operator.text, { ttl_seconds: 60 });
  await ask('DELETE', '/users/ada?max_wait_ms=0', operator.text);
  await ask('DELETE', '/users/eve', ada.text);
  for (let tries = 0; tries < 50; tries++) await ask('DELETE', '/users/ada', `dsc_guess_${tries}`);
  const late = await keyOf(['user'], 'late');
  const acts = () => linesOf(path).map(({ act }) => act);
  await expect.poll(acts).toContain('key.known');
  await keys.put({ ...late.kept, revokedAtMs: 1 });
  await expect.poll(acts).toContain('key.revoked');
  await node.close();

  const lines = linesOf(path).map(({ at, ...line }) => {
    expect(Date.parse(at)).toBeGreaterThan(0);
    return line;
  });
  expect(lines).toEqual([
    { act: 'node.start', node: 'test', keys: 3 },
    { act: 'session.export', by: service.id, user: 'ada', session: 'b', status: 200 },
    { act: 'session.delete', by: service.id, user: 'ada', session: 'b', status: 200 },
    { act: 'session.import', by: service.id, user: 'ada', status: 200 },
    { act: 'user.export', by: service.id, user: 'ada', status: 200 },
    { act: 'user.import', by: service.id, user: 'ada', status: 200 },
    { act: 'user.preferences', by: service.id, user: 'ada', status: 200 },
    { act: 'response.delete', by: service.id, user: 'ada', session: sessionOf['/v1/responses'], status: 200 },
    { act: 'completion.delete', by: service.id, user: 'ada', session: sessionOf['/v1/chat/completions'], status: 200 },
    { act: 'conversation.delete', by: service.id, user: 'ada', session: expect.any(String), status: 200 },
    { act: 'item.delete', by: service.id, user: 'ada', session: expect.any(String), status: 200 },
    { act: 'response.delete', by: service.id, user: service.id, status: 404 },
    { act: 'user.lifetime', by: operator.id, user: 'ada', status: 200 },
    { act: 'user.erase', by: operator.id, user: 'ada', status: 200 },
    { act: 'user.erase', by: ada.id, user: 'eve', status: 403 },
    { act: 'key.known', key: late.id, user: 'late', scopes: 'user' },
    { act: 'key.revoked', key: late.id, user: 'late' },
    { act: 'access.refused', status: 403, requests: 1 },
    { act: 'access.refused', status: 401, requests: 50 },
  ]);
  const text = readFileSync(path, 'utf8');
  for (const secret of [said, ada.text, service.text, operator.text, 'dsc_guess']) expect(text).not.toContain(secret);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it('has nobody for what was refused before it was known who asks', async () => {
  const path = join(folder.path, 'nobody.jsonl');
  const issuer = {
    jwtIssuer: 'https://issuer.example',
    jwtAudience: 'node',
    jwtKeys: join(folder.path, 'no-such-keys'),
  };
  const node = await startTestNode({ keysDir: join(folder.path, 'no-keys'), auditLog: path, ...issuer });
  const header = Buffer.from('{"alg":"ES256","kid":"one"}').toString('base64url');
  const erasing = (query: string) =>
    node.request('DELETE', `/users/ada${query}`, { headers: { authorization: `Bearer ${header}.e30.AAAA` } });
  expect((await erasing('')).body.error.type).toBe('access_unavailable');
  expect((await erasing('?max_wait_ms=%FF')).status).toBe(400);
  await node.close();
  expect(linesOf(path).map(({ act }) => act)).toEqual(['node.start']);
});

it('is moved aside when it is long, and says how much a disk that failed has cost', async () => {
  const path = join(folder.path, 'small.jsonl');
  const environment = virtualEnvironment();
  const audit = await AuditFile.open({ path, bytesMax: 300 }, environment);
  for (let i = 0; i < 20; i++) {
    audit.note('node.start', { node: `n${i}` });
    await audit.flush();
  }
  expect(statSync(path).size).toBeLessThan(400);
  expect(statSync(`${path}.1`).size).toBeLessThan(400);
  expect(linesOf(path).at(-1)).toMatchObject({ node: 'n19' });

  for (let i = 0; i < 1_500; i++) audit.note('node.start', { node: `many${i}` });
  await audit.flush();
  audit.note('node.start', { node: 'last' });
  await audit.flush();
  expect(readFileSync(path, 'utf8') + readFileSync(`${path}.1`, 'utf8')).toMatch(/"lost":\d+/);
});

it('counts every line that is lost, and goes on in a line of its own', async () => {
  const path = join(folder.path, 'failing.jsonl');
  const environment = virtualEnvironment();
  const audit = await AuditFile.open({ path }, environment);
  rmSync(path);
  mkdirSync(path);
  for (const node of ['a', 'b', 'c']) {
    audit.note('node.start', { node });
    await audit.flush();
  }
  rmSync(path, { recursive: true });
  writeFileSync(path, '{"at":"20');
  audit.note('node.start', { node: 'd' });
  await audit.flush();
  const lines = readFileSync(path, 'utf8').split('\n').slice(1).filter(Boolean);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ node: 'd' }, { lost: 3 }]);
});

it('that cannot be written keeps the node from starting', async () => {
  mkdirSync(join(folder.path, 'a-folder'));
  await expect(startTestNode({ auditLog: join(folder.path, 'a-folder') })).rejects.toMatchObject({
    code: 'config_invalid',
  });
});

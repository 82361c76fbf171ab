import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { define as defineSessions } from '../../../src/cli/commands/sessions.ts';
import { define as defineUsers } from '../../../src/cli/commands/users.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

const folder = temporaryFolder();
let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(async () => {
  await node.close();
  folder.remove();
  process.exitCode = undefined;
});

/** What a command prints, on either stream. */
async function run(define: (command: Command) => void, ...args: string[]): Promise<string> {
  const printed: string[] = [];
  const write = (text: unknown) => printed.push(String(text)) > 0;
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(write));
  try {
    const command = new Command('test').exitOverride();
    define(command);
    await command.parseAsync([...args, '--url', node.url], { from: 'user' });
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return printed.join('');
}

it('a user is exported, erased, asked after and imported again', async () => {
  for (const session_id of ['a', 'b']) await node.turn({ prompt: 'Hello.', session_id, user_id: 'ada' });
  for (const [about, body] of [
    ['preferences', { preferences: 'Be brief.' }],
    ['lifetime', { ttl_seconds: 90 }],
  ] as const)
    await node.put(`/users/ada/${about}`, body);
  const file = join(folder.path, 'ada.json');
  expect(await run(defineUsers, 'export', 'ada', '--output', file)).toBe('');
  expect(JSON.parse(readFileSync(file, 'utf8')).sessions).toHaveLength(2);
  const there = (what: string) => `${what} was there already\n`;
  const told = ['what the user prefers', 'how long its sessions are kept'];
  expect(await run(defineUsers, 'import', file)).toBe([...told, 'a', 'b'].map(there).join(''));

  const erased = await run(defineUsers, 'erase', 'ada', '--yes', '--wait', '60');
  expect(erased).toMatch(/^user ada was erased at .*, receipt [0-9a-f]{32}\n/);
  expect(erased).toMatch(/\ntest +20.* +4\n$/);
  const [, receipt = ''] = /receipt (\S+)/.exec(erased) ?? [];
  expect(JSON.parse(await run(defineUsers, 'erasure', 'ada', receipt, '--json'))).toMatchObject({ complete: true });
  expect((await node.get('/sessions?user_id=ada')).body.data).toEqual([]);

  expect(await run(defineUsers, 'import', file)).toBe(
    [...told, 'a, up to turn 1', 'b, up to turn 1'].map((what) => `imported ${what}\n`).join(''),
  );
  expect((await node.get('/sessions?user_id=ada')).body.data).toHaveLength(2);
});

it('a file of a user with more than fits into a request is imported in several; one that is none, and what is refused, is told', async () => {
  const long = 'word '.repeat(24_000);
  for (const session_id of ['long 1', 'long 2', 'long 3'])
    await node.turn({ prompt: long, session_id, user_id: 'eve', n_predict: 4 });
  const file = join(folder.path, 'eve.json');
  await run(defineUsers, 'export', 'eve', '--output', file);
  const requests = vi.spyOn(globalThis, 'fetch');
  const imported = await run(defineUsers, 'import', file, '--user', 'bob');
  expect(requests.mock.calls.length).toBeGreaterThan(1);
  requests.mockRestore();
  expect(imported).toMatch(/^(imported long \d, up to turn 1\n){3}$/);
  await node.request('DELETE', '/sessions/long%202?user_id=bob');
  expect(await run(defineUsers, 'import', file, '--user', 'bob')).toMatch(/discedge: long 2: .*deleted/);
  expect(process.exitCode).toBe(1);
  process.exitCode = undefined;
  for (const bad of ['nothing', 'eve.json.cut']) {
    if (bad !== 'nothing') writeFileSync(join(folder.path, bad), readFileSync(file).subarray(0, 1_000));
    await expect(run(defineUsers, 'import', join(folder.path, bad))).rejects.toMatchObject({ code: 'config_invalid' });
  }
});

it('how long what a user says is kept is printed, set and taken away', async () => {
  const lifetime = (...args: string[]) => run(defineUsers, 'lifetime', 'grace', ...args);
  expect(await lifetime()).toBe("as the node's default is\n");
  expect(await lifetime('--set', '90')).toBe('90 s\n');
  expect(await lifetime()).toBe('90 s\n');
  expect(await lifetime('--clear')).toBe("as the node's default is\n");
  expect(await lifetime()).toBe("as the node's default is\n");
});

it('sessions are imported line by line, and one that is refused keeps the others from nothing', async () => {
  for (const session_id of ['c', 'd']) await node.turn({ prompt: 'Hello.', session_id });
  const file = join(folder.path, 'sessions.jsonl');
  await run(defineSessions, 'export', 'c', 'd', '--output', file);
  await node.request('DELETE', '/sessions/c');
  expect(await run(defineSessions, 'import', file)).toMatch(/^discedge: c: .*deleted.*\nd was there already\n$/);
  expect(process.exitCode).toBe(1);
  process.exitCode = undefined;
  await expect(run(defineSessions, 'import', join(folder.path, 'nothing'))).rejects.toMatchObject({
    code: 'config_invalid',
  });
});

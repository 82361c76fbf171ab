import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { define } from '../../../src/cli/commands/keys.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { startTestNode } from '../../../tools/test-node.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

/** What a command prints, on either stream. */
async function keys(...args: string[]): Promise<string> {
  const printed: string[] = [];
  const write = (text: unknown) => printed.push(String(text)) > 0;
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(write));
  try {
    const command = new Command('keys').exitOverride();
    define(command);
    for (const one of command.commands) one.exitOverride().configureOutput({ writeErr: () => {} });
    await command.parseAsync([...args, '--keys-dir', join(folder.path, 'keys')], { from: 'user' });
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return printed.join('');
}

const keyIn = (printed: string) => /^dsc_\S+$/m.exec(printed)?.[0] as string;
const idOf = (key: string) => key.split('_')[1] as string;

describe('discedge keys', () => {
  it('makes a key that a node takes, lists it without its secret, and revokes it', async () => {
    const key = keyIn(await keys('create', '--user', 'ada', '--label', 'a robot', '--days', '2'));
    const node = await startTestNode({ keysDir: join(folder.path, 'keys') });
    try {
      const headers = { authorization: `Bearer ${key}` };
      expect((await node.request('GET', '/sessions', { headers })).status).toBe(200);
      expect((await node.request('GET', '/sessions')).status).toBe(401);
    } finally {
      await node.close();
    }
    const listed = await keys('list');
    expect(listed).toMatch(new RegExp(`${idOf(key)} +ada +user +good .* a robot`));
    expect(listed).not.toContain(key.split('_').slice(2).join('_'));
    expect(await keys('revoke', idOf(key))).toContain('is revoked');
    expect(await keys('revoke', idOf(key))).toContain('was revoked before');
    expect(await keys('list')).toMatch(/ revoked /);
  });

  it('gives a key limits of its own, which a node reads and the list shows', async () => {
    const key = keyIn(await keys('create', '--limit-requests-per-second', '3', '--limit-ids-per-minute', '900'));
    await keys('create');
    expect(await keys('list')).toMatch(new RegExp(`${idOf(key)} .* 3 requests/s, 900 ids/min`));
    const node = await startTestNode({ keysDir: join(folder.path, 'keys') });
    try {
      const { headers } = await node.request('GET', '/sessions', { headers: { authorization: `Bearer ${key}` } });
      expect(headers.get('x-ratelimit-limit-requests')).toBe('3');
      expect(headers.get('x-ratelimit-limit-tokens')).toBe('900');
    } finally {
      await node.close();
    }
    await expect(keys('create', '--limit-sessions', '0')).rejects.toThrow(/from 1 to 10000/);
    await expect(keys('create', '--limit-bytes', '1k')).rejects.toThrow(/a size such as/);
    const roomy = keyIn(await keys('create', '--limit-bytes', '2GiB'));
    expect(await keys('list')).toMatch(new RegExp(`${idOf(roomy)} .* 2147483648 bytes a user`));
  });

  it('refuses what makes no sense', async () => {
    await expect(keys('create', '--scope', 'root')).rejects.toThrow(/There are user, service/);
    await expect(keys('create', '--scope', 'read-only')).rejects.toThrow(/goes with another/);
    await expect(keys('create', '--user', '..')).rejects.toThrow(/control characters/);
    await expect(keys('create', '--days', '0')).rejects.toThrow(/whole number/);
    await expect(keys('revoke', 'nobody')).rejects.toThrow(/no key nobody/);
    expect(await keys('list')).toContain('no keys');
  });
});

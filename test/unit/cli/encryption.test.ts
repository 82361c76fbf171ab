// What an operator does: a key, a node that is started with it, another key above it, and a look at how far that is. Then what must
// not start: a folder without its key, with another one, or with encryption switched off by leaving the key out.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { define } from '../../../src/cli/commands/encryption.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { readEncryptionNote } from '../../../src/context-store/leveldb/sealing/encryption-note.ts';
import { checkEncryption } from '../../../src/doctor/encryption-check.ts';
import { readKeyRing } from '../../../src/domain/encryption/key-ring.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { startTestNode } from '../../../tools/test-node.ts';
import { keyLine } from '../../support/key-rings.ts';

let folder: ReturnType<typeof temporaryFolder>;
let keyFile: string;
let dataDir: string;
beforeEach(() => {
  folder = temporaryFolder();
  keyFile = join(folder.path, 'keys');
  dataDir = join(folder.path, 'data');
});
afterEach(() => folder.remove());

async function encryption(...args: string[]): Promise<string> {
  const printed: string[] = [];
  const write = (text: unknown) => printed.push(String(text)) > 0;
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(write));
  try {
    const command = new Command('encryption').exitOverride();
    define(command);
    await command.parseAsync(args, { from: 'user' });
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return printed.join('');
}

function keyIds(): string[] {
  const ring = readKeyRing(readFileSync(keyFile, 'utf8'));
  if ('problem' in ring) throw new Error(ring.problem);
  return ring.keys.map(({ id }) => id);
}

/** Starts a node, has it written to once, and ends it. */
async function serveOnce(settings: Record<string, string>): Promise<void> {
  const node = await startTestNode({ store: 'leveldb', dataDir, ...settings });
  await node.turn({ prompt: 'hello', session_id: 's', user_id: 'u', mode: 'tokenized' });
  // What is to be sealed anew is little, and done while the node runs.
  await expect.poll(async () => (await readEncryptionNote(dataDir))?.before ?? []).toEqual([]);
  await node.close();
}

const examined = (flags: Record<string, string>) =>
  checkEncryption(loadConfig({ flags: { dataDir, ...flags }, env: {} }));

describe('discedge encryption', () => {
  it('makes a key for its owner alone, rotates it, and says how far that is', async () => {
    expect(await encryption('status', '--data-dir', dataDir)).toContain('is not encrypted');
    await encryption('new-key', '--out', keyFile);
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    await expect(encryption('new-key', '--out', keyFile)).rejects.toThrow(/cannot be written/);
    await serveOnce({ encryptionKey: keyFile });
    const [first] = keyIds();
    expect(await encryption('status', '--data-dir', dataDir)).toBe(`written with key ${first}\nnothing else is left\n`);
    expect(await encryption('rotate', keyFile)).toContain('is the first of 2');
    const [second, former] = keyIds();
    expect(former).toBe(first);
    await serveOnce({ encryptionKey: keyFile });
    expect(await encryption('status', '--data-dir', dataDir)).toContain(`written with key ${second}`);
    writeFileSync(keyFile, `${readFileSync(keyFile, 'utf8').split('\n')[0]}\n`);
    await serveOnce({ encryptionKey: keyFile });
  });

  it('has no node start without the key, and doctor say so', async () => {
    writeFileSync(keyFile, keyLine('a'));
    await serveOnce({ encryptionKey: keyFile });
    const other = join(folder.path, 'other');
    writeFileSync(other, keyLine('b'));
    for (const settings of [{}, { encryptionKey: other }]) {
      await expect(serveOnce(settings)).rejects.toMatchObject({ code: 'encryption_key_missing' });
      expect(await examined(settings)).toMatchObject({
        outcome: 'missing',
        found: expect.stringContaining('is encrypted'),
      });
    }
    expect(await examined({ encryptionKey: keyFile })).toMatchObject({ outcome: 'ok' });
    await serveOnce({ encryptionKey: keyFile, encryptionOff: 'true' });
    await serveOnce({});
  });

  it('takes the key from a command, without a shell, and repeats nothing that this prints', async () => {
    const secret = keyLine('c');
    writeFileSync(keyFile, secret);
    await serveOnce({ encryptionKeyCommand: `cat ${keyFile}` });
    const ring = await loadConfig({ flags: { encryptionKeyCommand: ` cat ${keyFile} ` }, env: {} }).encryption?.keys();
    expect(ring?.keys).toHaveLength(1);
    for (const command of ['false', 'no-such-program', 'no\0program', `cat ${keyFile} $HOME;`, 'echo 1234']) {
      const failed = loadConfig({ flags: { encryptionKeyCommand: command }, env: {} }).encryption?.keys();
      const error = await failed?.then(
        () => undefined,
        (error: Error) => error,
      );
      expect(error, command).toMatchObject({ code: 'config_invalid' });
      expect(error?.message).not.toContain('cccc');
      expect(error?.message).not.toContain('1234');
    }
  });

  it('refuses keys that are none, and a ring that has one twice', () => {
    for (const text of ['', 'abc', 'g'.repeat(64), `${keyLine('a')}\n${keyLine('a')}`])
      expect(readKeyRing(text), text).toHaveProperty('problem');
  });
});

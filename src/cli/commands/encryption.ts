import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { newEncryptionKey, readKeyRing } from '../../domain/encryption/key-ring.ts';
import { DiscedgeError } from '../../domain/errors.ts';

export function define(command: Command): void {
  command
    .command('new-key')
    .description('Make a key to encrypt contexts with, for --encryption-key-file.')
    .option('-o, --out <FILE>', 'write it to a new file that its owner alone reads (default: print it)')
    .action(newKey);
  command
    .command('rotate')
    .description('Put a new key above those of a key file: a node that is started again seals everything anew with it.')
    .argument('<file>', 'as --encryption-key-file names it')
    .action(rotate);
  command
    .command('status')
    .description('Say with which keys a data folder is encrypted, and how far a rotation is.')
    .option('--data-dir <DIR>', "the node's data folder, as of its settings")
    .option('-c, --config <FILE>', "the node's YAML file with settings")
    .action(status);
}

async function newKey({ out }: { readonly out?: string }): Promise<void> {
  const line = newEncryptionKey({ bytes: randomBytes });
  if (out === undefined) {
    process.stdout.write(line);
    return;
  }
  const { KEY_FILE_MODE } = await import('../../edge-node/stores/encryption-files.ts');
  await writeFile(out, line, { flag: 'wx', mode: KEY_FILE_MODE }).catch((error: Error) => {
    throw new DiscedgeError('config_invalid', `the key cannot be written: ${error.message}`);
  });
  process.stderr.write(`Key ${idOf(line)} is in ${out}. Keep a copy elsewhere: without it what it seals is lost.\n`);
}

async function rotate(file: string): Promise<void> {
  const { rotateKeyFile } = await import('../../edge-node/stores/encryption-files.ts');
  const { keys } = await rotateKeyFile(file, { bytes: randomBytes });
  process.stderr.write(
    `Key ${keys[0]?.id} is the first of ${keys.length} in ${file}. Start the node again; once "discedge encryption status" ` +
      'says that nothing else is left, take the other keys out of the file.\n',
  );
}

async function status({
  dataDir,
  config: file,
}: {
  readonly dataDir?: string;
  readonly config?: string;
}): Promise<void> {
  const [{ loadConfig }, { encryptionOf }] = await Promise.all([
    import('../../config/config.ts'),
    import('../../edge-node/stores/encryption-files.ts'),
  ]);
  const config = loadConfig({ flags: { dataDir }, file });
  const note = await encryptionOf(config.dataDir);
  if (note === undefined) {
    process.stdout.write(`${config.dataDir} is not encrypted\n`);
    return;
  }
  const { writtenWith, before, recordsLeft } = note;
  const lines = [writtenWith === 'clear' ? 'written in the clear again' : `written with key ${writtenWith}`];
  if (before.length === 0) lines.push('nothing else is left');
  else lines.push(`still read: ${before.join(', ')}`, `records not looked at yet: ${recordsLeft}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

function idOf(line: string): string {
  const ring = readKeyRing(line);
  if ('problem' in ring) throw new TypeError(ring.problem);
  return ring.keys.map(({ id }) => id).join();
}

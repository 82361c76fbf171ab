import { type ExecFileException, execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type KeyRing, onlyToRead, readKeyRing } from '../domain/encryption/key-ring.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { Complain } from './given-settings.ts';
import type { Settings } from './settings/settings.ts';

/** Somebody may have to type a passphrase. */
const COMMAND_WAIT_MS = 60_000;
/** More than any ring has. */
const COMMAND_OUTPUT_BYTES_MAX = 64 * 1024;

/** With what the node's files are encrypted. */
export interface EncryptionConfig {
  /** Throws `config_invalid`. */
  keys(): Promise<KeyRing>;
}

export function readEncryption(settings: Settings, complain: Complain): EncryptionConfig | undefined {
  const { encryptionKey: text, encryptionKeyCommand: command, encryptionOff: isOff } = settings;
  if (text === undefined && command === undefined) {
    if (isOff) complain('encryptionOff', 'needs encryption-key or encryption-key-command, to read what is encrypted');
    return undefined;
  }
  if (text === undefined) return new PrintedKeys(String(command), isOff);
  if (command !== undefined) complain('encryptionKeyCommand', 'excludes encryption-key');
  const ring = readKeyRing(text);
  if (!('problem' in ring)) return new GivenKeys(ring, isOff);
  complain('encryptionKey', ring.problem);
  return undefined;
}

class GivenKeys implements EncryptionConfig {
  readonly ring: KeyRing;

  constructor(ring: KeyRing, isOff: boolean) {
    this.ring = isOff ? onlyToRead(ring) : ring;
  }

  async keys(): Promise<KeyRing> {
    return this.ring;
  }
}

/** The command is run when they are first asked for. */
class PrintedKeys implements EncryptionConfig {
  readonly command: string;
  readonly isOff: boolean;
  #keys: Promise<KeyRing> | undefined;

  constructor(command: string, isOff: boolean) {
    this.command = command;
    this.isOff = isOff;
  }

  keys(): Promise<KeyRing> {
    this.#keys ??= keysFrom(this.command).then((ring) => (this.isOff ? onlyToRead(ring) : ring));
    return this.#keys;
  }
}

async function keysFrom(command: string): Promise<KeyRing> {
  const ring = readKeyRing(await outputOf(command));
  if (!('problem' in ring)) return ring;
  throw new DiscedgeError('config_invalid', `what encryption-key-command prints ${ring.problem}`);
}

async function outputOf(command: string): Promise<string> {
  const [program = '', ...args] = command.split(/\s+/);
  const options = { timeout: COMMAND_WAIT_MS, maxBuffer: COMMAND_OUTPUT_BYTES_MAX };
  try {
    return (await promisify(execFile)(program, args, options)).stdout;
  } catch (error) {
    // Its own message and output may repeat what was printed.
    const { code, killed, signal } = error as ExecFileException;
    const how = killed && code === null ? `took longer than ${COMMAND_WAIT_MS / 1000} s` : `failed: ${code ?? signal}`;
    throw new DiscedgeError('config_invalid', `encryption-key-command (${program}) ${how}`);
  }
}

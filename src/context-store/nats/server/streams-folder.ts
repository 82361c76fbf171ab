import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncryptionKey } from '../../../domain/encryption/key-ring.ts';

const IN_THE_CLEAR = 'jetstream';

/**
 * Name of JetStream's folder. Each key has one of its own: a nats-server that is started on streams of another key, or of none, runs
 * and hides them. What a node has published is in its store, and is published again into a new folder.
 */
export function streamsFolder(key: EncryptionKey | undefined): string {
  return key === undefined ? IN_THE_CLEAR : `${IN_THE_CLEAR}-${key.id}`;
}

/** As nats-server is given it. It would read a value of digits as a number, hence the letter. */
export function streamsKey(key: EncryptionKey): string {
  return `k${key.derive('streams').toString('hex')}`;
}

/** Streams that were written under another key, or in the clear. The server of `current` must be the one that runs. */
export async function removeFormerStreams(folder: string, current: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const isStreams = name === IN_THE_CLEAR || /^jetstream-[0-9a-f]{8}$/.test(name);
    if (isStreams && name !== current) await rm(join(folder, name), { recursive: true, force: true });
  }
}

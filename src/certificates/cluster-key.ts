import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { EdgeNodeConfig } from '../config/config.ts';
import { makeFolder } from '../context-store/make-folder.ts';
import { writeWhole } from '../context-store/whole-file.ts';
import { CLUSTER_KEY_BYTES } from '../domain/encryption/sealed-ids.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { Random } from '../environment/environment.ts';

/** What the file is called beside a certificate and in a data folder. */
export const CLUSTER_KEY_FILE = 'cluster.key';

export const CLUSTER_KEY_MODE = 0o600;

/** A new key as its file has it. */
export function newClusterKey(random: Pick<Random, 'bytes'>): string {
  return `${Buffer.from(random.bytes(CLUSTER_KEY_BYTES)).toString('hex')}\n`;
}

/**
 * Where a node takes its cluster's key from. `shared`: a file that the other nodes have too, named by the configuration, or
 * beside the node's certificate. `own`: one in its data folder, made where there is none; `undefined` for a node without files.
 */
export type ClusterKeyPlace = { readonly kind: 'shared' | 'own'; readonly path: string } | undefined;

type Places = Pick<EdgeNodeConfig, 'clusterKeyFile' | 'replication' | 'dataDir' | 'store'>;

export async function clusterKeyPlace({
  clusterKeyFile,
  replication,
  dataDir,
  store,
}: Places): Promise<ClusterKeyPlace> {
  if (clusterKeyFile !== undefined) return { kind: 'shared', path: clusterKeyFile };
  const certFile = replication?.certificates?.certFile;
  const beside = certFile === undefined ? undefined : join(dirname(certFile), CLUSTER_KEY_FILE);
  if (beside !== undefined && (await contentOf(beside)) !== undefined) return { kind: 'shared', path: beside };
  return store.keepsFiles ? { kind: 'own', path: join(dataDir, CLUSTER_KEY_FILE) } : undefined;
}

/** Throws `config_invalid` for a shared key that is missing, and for any that is no key. */
export async function readClusterKey(place: ClusterKeyPlace, random: Pick<Random, 'bytes'>): Promise<Uint8Array> {
  if (place === undefined) return random.bytes(CLUSTER_KEY_BYTES);
  const content = await contentOf(place.path);
  if (content !== undefined) return keyOf(content, place.path);
  if (place.kind === 'shared') throw invalid(`there is no cluster key at ${place.path}`);
  const made = newClusterKey(random);
  await makeFolder(dirname(place.path));
  await writeWhole(place.path, made, CLUSTER_KEY_MODE);
  return keyOf(made, place.path);
}

/** `undefined` where there is no such file. Throws `config_invalid` for one that cannot be read. */
export async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw invalid(`the cluster key cannot be read: ${message}`, error);
  }
}

function keyOf(content: string, path: string): Uint8Array {
  const text = content.trim();
  if (!/^[0-9a-fA-F]+$/.test(text) || text.length !== 2 * CLUSTER_KEY_BYTES) {
    throw invalid(`${path} is no cluster key: it has to hold ${2 * CLUSTER_KEY_BYTES} hex digits`);
  }
  return Buffer.from(text, 'hex');
}

function invalid(message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('config_invalid', message, { cause });
}

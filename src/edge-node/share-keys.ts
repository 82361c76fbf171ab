import { type ApiKey, apiKeyJson, mergedKey, readApiKeyJson } from '../access/api-key.ts';
import type { KeyFolder } from '../access/key-folder.ts';
import { ClusterDocuments } from '../context-manager/documents/cluster-documents.ts';
import type { NodeResources } from '../context-manager/node-resources.ts';
import type { Environment } from '../environment/environment.ts';
import type { OpenedAccess } from './open-access.ts';

export interface SharedKeysParts {
  readonly keys: KeyFolder;
  readonly documents: ClusterDocuments;
  readonly environment: Pick<Environment, 'clock' | 'logger'>;
  /** How long a document lives that is not put again. */
  readonly documentMs: number;
}

/**
 * API keys of a cluster: each that is in this node's folder is told to the others, each that they tell of is put there. What is
 * told again and again changes nothing, and a revocation wins wherever it meets the key.
 */
export class SharedKeys {
  readonly #parts: SharedKeysParts;
  readonly #told = new Map<string, number | undefined>();
  #settled: Promise<unknown> = Promise.resolve();

  constructor(parts: SharedKeysParts) {
    this.#parts = parts;
  }

  /** Takes in what the store has, and listens. Returns what ends it. */
  async start(): Promise<() => void> {
    const { documents, environment, documentMs } = this.#parts;
    const stop = documents.onArrived('api-key', (id, content) => {
      this.#later(() => this.#takeIn(id, [content]));
    });
    for await (const { id, versions, expiresAtMs } of documents.all('api-key')) {
      const known = await this.#takeIn(id, versions);
      // Told again at half its life, by whichever node has it then.
      const isFresh = expiresAtMs > environment.clock.now() + documentMs / 2;
      if (known !== undefined && isFresh) this.#told.set(id, known.revokedAtMs);
    }
    await this.tell();
    return stop;
  }

  /** Tells the others of what is new in the folder. */
  tell(): Promise<void> {
    return this.#later(async () => {
      const { keys, documents } = this.#parts;
      for (const key of keys.all()) {
        if (this.#told.has(key.id) && this.#told.get(key.id) === key.revokedAtMs) continue;
        await documents.put('api-key', key.id, Buffer.from(apiKeyJson(key)));
        this.#told.set(key.id, key.revokedAtMs);
      }
    });
  }

  /** What all of them say together; `undefined` where none is a key. */
  async #takeIn(id: string, versions: readonly Uint8Array[]): Promise<ApiKey | undefined> {
    const { keys, environment } = this.#parts;
    let merged: ApiKey | undefined;
    for (const version of versions) {
      try {
        const key = readApiKeyJson(Buffer.from(version).toString('utf8'));
        if (key.id !== id) throw new TypeError('a key under the name of another');
        merged = merged === undefined ? key : mergedKey(merged, key);
      } catch {
        environment.logger.warn('api_key_refused', { key: id });
      }
    }
    if (merged === undefined) return undefined;
    await keys.put(merged);
    this.#told.set(id, merged.revokedAtMs);
    return merged;
  }

  /** One after the other; what fails is logged, and tried again with the next change. */
  #later<T>(task: () => Promise<T>): Promise<void> {
    const { logger } = this.#parts.environment;
    const done = this.#settled.then(task).then(
      () => {},
      (error: unknown) => logger.warn('api_keys_not_shared', {}, error),
    );
    this.#settled = done;
    return done;
  }
}

/** Shares the node's keys with its cluster, as they are and as they change. Resolves with what ends it. */
export async function shareKeys(
  { keys, onReload }: OpenedAccess,
  { records, options, environment }: NodeResources,
): Promise<() => void> {
  const documents = new ClusterDocuments({ records, options, environment });
  const shared = new SharedKeys({ keys, documents, environment, documentMs: options.ttlSecondsMax * 1000 });
  onReload(() => void shared.tell());
  return shared.start();
}

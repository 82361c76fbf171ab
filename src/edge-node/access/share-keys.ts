import { type ApiKey, apiKeyJson, mergedKey, readApiKeyJson } from '../../access/api-key.ts';
import type { KeyFolder } from '../../access/key-folder.ts';
import type { ClusterDocuments } from '../../context-manager/documents/cluster-documents.ts';
import type { NodeResources } from '../../context-manager/node-resources.ts';
import type { Environment } from '../../environment/environment.ts';
import { OneAtATime } from '../../waiting/one-at-a-time.ts';
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
  /** By id, what was told last of a key, and when that ends. */
  readonly #told = new Map<string, { readonly revokedAtMs: number | undefined; readonly untilMs: number }>();
  readonly #inTurn = new OneAtATime();

  constructor(parts: SharedKeysParts) {
    this.#parts = parts;
  }

  /** Takes in what the store has, and listens. Returns what ends it. */
  async start(): Promise<() => void> {
    const { documents } = this.#parts;
    const stop = documents.onArrived('api-key', (id, content) => {
      const { environment, documentMs } = this.#parts;
      void this.#inTurn.run(() => this.#takeIn(id, [content], environment.clock.now() + documentMs));
    });
    for await (const { id, versions, expiresAtMs } of documents.all('api-key')) {
      await this.#inTurn.run(() => this.#takeIn(id, versions, expiresAtMs));
    }
    await this.tell();
    return stop;
  }

  /** Tells the others of what is new in the folder. */
  tell(): Promise<void> {
    return this.#inTurn.run(async () => {
      const { keys, documents, environment, documentMs } = this.#parts;
      const nowMs = environment.clock.now();
      for (const key of keys.all()) {
        const told = this.#told.get(key.id);
        // Told again at half its life, by whichever node has it then.
        if (told !== undefined && told.revokedAtMs === key.revokedAtMs && told.untilMs > nowMs + documentMs / 2)
          continue;
        await this.#orLog(key.id, async () => {
          await documents.put('api-key', key.id, Buffer.from(apiKeyJson(key)));
          this.#told.set(key.id, { revokedAtMs: key.revokedAtMs, untilMs: nowMs + documentMs });
        });
      }
    });
  }

  /** Takes in what all versions say together. */
  async #takeIn(id: string, versions: readonly Uint8Array[], untilMs: number): Promise<void> {
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
    if (merged === undefined) return;
    const known = merged;
    await this.#orLog(id, async () => {
      await keys.put(known);
      this.#told.set(id, { revokedAtMs: known.revokedAtMs, untilMs });
    });
  }

  /** A key that cannot be kept or told keeps none of the others from it. */
  async #orLog(key: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.#parts.environment.logger.warn('api_key_not_shared', { key }, error);
    }
  }
}

/** Shares the node's keys with its cluster, as they are and as they change. Resolves with what ends it. */
export async function shareKeys(
  { keys, onReload }: OpenedAccess,
  { documents, options, environment }: NodeResources,
): Promise<() => void> {
  const shared = new SharedKeys({ keys, documents, environment, documentMs: options.ttlSecondsMax * 1000 });
  onReload(() => void shared.tell());
  return shared.start();
}

import { resolve } from 'node:path';
import { DiscedgeError } from '../domain/errors.ts';
import type { Environment } from '../environment/environment.ts';
import { abortable } from '../waiting/abortable.ts';
import { loadLlamaLibrary } from './llama-library.ts';

export interface ModelFileOptions {
  /** Where downloads are kept; made when missing. */
  readonly cacheDir: string;
  /** What `demo` stands for. */
  readonly demoPath: string;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Base URL of a Hugging Face hub or mirror. */
  readonly hubUrl?: string;
}

export interface DownloadProgress {
  readonly downloadedBytes: number;
  /** 0 until it is known. */
  readonly totalBytes: number;
}

/**
 * The GGUF file that `demo`, `hf:ORG/REPO:FILE` or a path names, downloaded first where it has to be. A download appears
 * under its name only when it is whole; one that is there already needs no network. A path is not looked at.
 * Throws `config_invalid` for a malformed name, `model_unusable` when the file cannot be fetched, and `signal.reason`.
 */
export async function resolveModelFile(
  model: string,
  options: ModelFileOptions,
  environment: Environment,
): Promise<string> {
  if (model === 'demo') return options.demoPath;
  if (!model.startsWith('hf:')) return resolve(model);
  const file = parseHubFile(model);
  const { resolveModelFile: resolveFile } = await loadLlamaLibrary();
  const { cacheDir: directory, signal, hubUrl = HUGGING_FACE } = options;
  const where = { directory, cli: false, endpoints: { huggingFace: hubUrl } };
  const uri = `hf:${file.repository}/${file.path}`;
  const cached = await resolveFile(uri, { ...where, download: false }).catch(() => undefined);
  if (cached !== undefined) return cached;

  const watch = new StallWatch(environment, signal);
  try {
    await probe(new URL(`${file.repository}/resolve/main/${file.path}`, ensureSlash(hubUrl)), watch.signal);
    const download = resolveFile(uri, {
      ...where,
      signal: watch.signal,
      onProgress: ({ totalSize, downloadedSize }) => {
        watch.progressed(downloadedSize);
        options.onProgress?.({ downloadedBytes: downloadedSize, totalBytes: totalSize });
      },
    });
    // The downloader looks at the signal only while bytes flow.
    return await abortable(download, watch.signal);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw fetchProblem(model, { hubUrl, error, stalled: watch.stalled });
  } finally {
    watch.stop();
  }
}

const HUGGING_FACE = 'https://huggingface.co/';

/**
 * Without a byte for this long the download is given up: the downloader by itself tries again for ever, so a node that
 * lost its network would never say so. Longer than a hub's slow first answer.
 */
export const STALL_MS = 30_000;

function parseHubFile(model: string): { repository: string; path: string } {
  const [, repository, path] = /^hf:([\w.-]+\/[\w.-]+):([\w.-]+(?:\/[\w.-]+)*\.gguf)$/i.exec(model) ?? [];
  if (repository === undefined || path === undefined || path.split('/').includes('..')) {
    throw new DiscedgeError('config_invalid', `model ${model} must be hf:ORG/REPO:FILE with a FILE that ends in .gguf`);
  }
  return { repository, path };
}

/** Asks for the first bytes, because the downloader takes an unreachable or failing hub for one worth waiting for. */
async function probe(url: URL, signal: AbortSignal): Promise<void> {
  const response = await fetch(url, { headers: { range: 'bytes=0-3' }, redirect: 'manual', signal });
  await response.body?.cancel();
  if (response.status >= 500 || response.status === 429) throw new Error(`Status code: ${response.status}`);
}

function fetchProblem(model: string, failure: { hubUrl: string; error: unknown; stalled: boolean }): DiscedgeError {
  const { hubUrl, error, stalled } = failure;
  const { host } = new URL(hubUrl);
  const status = Number(/Status code: (\d+)/.exec(error instanceof Error ? error.message : '')?.[1]);
  const problem =
    status === 404
      ? `${host} has no such file; check the name`
      : status === 401 || status === 403
        ? `${host} wants a login for it; set HF_TOKEN`
        : status >= 400
          ? `${host} answers with status ${status}; try again later`
          : stalled
            ? `${host} has sent nothing for ${STALL_MS / 1000} s; try again`
            : `${host} cannot be reached; connect to the network, or fetch the file elsewhere and give its path`;
  return new DiscedgeError('model_unusable', `model ${model} cannot be downloaded: ${problem}`, { cause: error });
}

/** Aborts with the caller's signal, or when nothing has arrived for {@link STALL_MS}. */
class StallWatch {
  readonly #environment: Environment;
  readonly #abort = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #onCallerAbort = () => this.#abort.abort(this.#caller?.reason);
  #cancelTimer: () => void = () => undefined;
  #bytes = 0;
  stalled = false;

  constructor(environment: Environment, caller: AbortSignal | undefined) {
    this.#environment = environment;
    this.#caller = caller;
    if (caller?.aborted) this.#onCallerAbort();
    caller?.addEventListener('abort', this.#onCallerAbort, { once: true });
    this.#arm();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** A retry reports what was downloaded before once more, which is not progress. */
  progressed(bytes: number): void {
    if (bytes <= this.#bytes) return;
    this.#bytes = bytes;
    this.#arm();
  }

  stop(): void {
    this.#cancelTimer();
    this.#caller?.removeEventListener('abort', this.#onCallerAbort);
  }

  #arm(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#environment.clock.after(STALL_MS, () => {
      this.stalled = true;
      this.#abort.abort(new Error('stalled'));
    });
  }
}

function ensureSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`;
}

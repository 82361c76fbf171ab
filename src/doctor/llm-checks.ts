import { stat } from 'node:fs/promises';
import type { EdgeNodeConfig } from '../config/config.ts';
import { DiscedgeError } from '../domain/errors.ts';
import { DEMO_MODEL_PATH } from '../edge-node/models/demo-model.ts';
import { checkGgufFile } from '../llm-service/gguf-file.ts';
import { LLAMA_PACKAGE, loadLlamaLibrary } from '../llm-service/llama-library.ts';
import type { Check, Fetch } from './check.ts';

/** A server on the same network answers at once; a doctor who waits longer is waited for. */
export const ANSWER_WAIT_MS = 5_000;

/** Whether the binary that node-llama-cpp brings for this platform loads. */
export async function checkEmbedded(config: EdgeNodeConfig): Promise<Check> {
  const name = 'embedded llama.cpp';
  try {
    const { getLlama, LlamaLogLevel } = await loadLlamaLibrary();
    const options = {
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      logLevel: LlamaLogLevel.disabled,
    } as const;
    const llama = await getLlama({ ...options, gpu: config.gpu ? 'auto' : false });
    const found = `loads (llama.cpp ${llama.llamaCppRelease.release}, ${llama.gpu === false ? 'CPU' : llama.gpu})`;
    await llama.dispose();
    return { name, outcome: 'ok', found };
  } catch (error) {
    const instead = 'or use a server: --llm http://HOST:PORT';
    if (error instanceof DiscedgeError && error.code === 'package_missing') {
      const found = `${LLAMA_PACKAGE.name} is not installed`;
      const fix = `npm install ${LLAMA_PACKAGE.name}@${LLAMA_PACKAGE.version}, ${instead}`;
      return { name, outcome: 'missing', found, fix };
    }
    const fix = `install again with optional packages (npm ci --include=optional), ${instead}`;
    return { name, outcome: 'missing', found: `does not load: ${firstLine(error)}`, fix };
  }
}

/** Whether the model file is there and whole. Needs the library that {@link checkEmbedded} looks for. */
export async function checkModel(model: string): Promise<Check> {
  if (model.startsWith('hf:')) {
    return { name: 'model', outcome: 'ok', found: `${model}, downloaded at the first start if need be` };
  }
  const path = model === 'demo' ? DEMO_MODEL_PATH : model;
  try {
    const { readGgufFileInfo } = await loadLlamaLibrary();
    await checkGgufFile(path, (file) => readGgufFileInfo(file, { logWarnings: false }));
    const megabytes = ((await stat(path)).size / 1e6).toFixed(1);
    return { name: 'model', outcome: 'ok', found: `${model === 'demo' ? 'demo' : path} (${megabytes} MB)` };
  } catch (error) {
    return { name: 'model', outcome: 'missing', found: (error as DiscedgeError).message, fix: 'choose with --model' };
  }
}

/** Whether a running edge node answers and can take turns. */
export async function checkEdgeNode(url: string, fetch: Fetch): Promise<Check> {
  const name = 'edge node';
  try {
    const get = (path: string) => fetch(url + path, { signal: AbortSignal.timeout(ANSWER_WAIT_MS) });
    const [ready, props] = await Promise.all([get('/ready'), get('/props')]);
    const { node, version, model_alias: model } = (await props.json()) as Record<string, string>;
    if (node === undefined)
      return { name, outcome: 'missing', found: `${url} is not an edge node`, fix: 'check the URL' };
    if (ready.ok) return { name, outcome: 'ok', found: `${node} at ${url} (version ${version}) serves ${model}` };
    const { error } = (await ready.json()) as { error?: { message?: string } };
    return { name, outcome: 'missing', found: `${node} at ${url} is not ready: ${error?.message}`, fix: 'see its log' };
  } catch (error) {
    const fix = 'start it with: discedge serve';
    return { name, outcome: 'missing', found: `${url} does not answer: ${firstLine(error)}`, fix };
  }
}

export function firstLine(error: unknown): string {
  const { message, cause } = error as Error;
  return ((cause as Error | undefined)?.message || message).split('\n', 1)[0] as string;
}

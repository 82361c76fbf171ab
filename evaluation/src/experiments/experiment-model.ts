import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type ConfigSources, loadConfig } from 'discedge/internal/config/config';
import { isEmbedded } from 'discedge/internal/config/engine-kinds';
import type { ModelConfig } from 'discedge/internal/config/model-config';
import { DEMO_MODEL_PATH } from 'discedge/internal/edge-node/models/demo-model';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import { checkGgufFile } from 'discedge/internal/llm-service/gguf-file';
import { loadLlamaLibrary } from 'discedge/internal/llm-service/llama-library';
import { resolveModelFile } from 'discedge/internal/llm-service/model-file';
import { modelNameFromFile } from 'discedge/internal/llm-service/model-name';
import { RANDOM_WEIGHTS_KEY } from '../shaped-model/shaped-metadata.ts';
import type { ReplySource } from './rows/experiment-rows.ts';

/** The model that all nodes of an experiment serve. */
export interface ExperimentModel {
  readonly path: string;
  readonly name: string;
  readonly file: string;
  readonly bytes: number;
  readonly quantization: string;
  readonly replySource: ReplySource;
  /** Ids it was trained with at the most. */
  readonly contextTokens: number;
}

/** Fetches the model that the settings name, where it has to be fetched, and reads its head. Throws `model_unusable`. */
export async function experimentModel(
  settings: ConfigSources,
  signal: AbortSignal | undefined,
): Promise<ExperimentModel> {
  const config = loadConfig(settings);
  const { source, name } = config.models[0] as ModelConfig;
  const model = isEmbedded(source) ? source.model : 'demo';
  const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'experiment' });
  const where = { cacheDir: config.modelCacheDir, demoPath: DEMO_MODEL_PATH, signal };
  const path = await resolveModelFile(model, where, environment);
  const library = await loadLlamaLibrary();
  await checkGgufFile(path, (file) => library.readGgufFileInfo(file, { logWarnings: false }));
  const { metadata, architectureMetadata } = await library.readGgufFileInfo(path, { logWarnings: false });
  const fileType = library.GgufFileType[metadata.general.file_type ?? -1] ?? 'unknown';
  return {
    path,
    name: name ?? modelNameFromFile(path),
    file: basename(path),
    bytes: (await stat(path)).size,
    quantization: fileType.replace(/^MOSTLY_|^ALL_/, ''),
    replySource: valueAt(metadata, RANDOM_WEIGHTS_KEY) === true ? 'random-weights' : 'model',
    contextTokens: architectureMetadata.context_length ?? Number.POSITIVE_INFINITY,
  };
}

/** Of a key with dots, which the reader of GGUF files makes folders of. */
function valueAt(metadata: object, key: string): unknown {
  return key.split('.').reduce((at: unknown, part) => (at as Record<string, unknown> | undefined)?.[part], metadata);
}

import { readFile } from 'node:fs/promises';
import type { EdgeNodeConfig } from '../../config/config.ts';
import { type Layer, type LayerSource, layerOf, type StampOf } from '../../context-manager/layers/layer.ts';
import { LayerPieces } from '../../context-manager/layers/layer-pieces.ts';
import { requireRoomForLayers } from '../../context-manager/layers/layer-room.ts';
import { ModelLayers } from '../../context-manager/layers/model-layers.ts';
import type { NodeResources } from '../../context-manager/node-resources.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { EMPTY_PREAMBLE } from '../../llm-service/chat-template.ts';
import type { Closing } from '../closing.ts';
import type { StartedModel } from '../models/start-models.ts';
import { LAYER_BYTES_MAX, RegionalData, watchRegionalData } from './regional-data.ts';

/** What stands before the conversations of a model. */
export type LayersOf = (model: StartedModel) => LayerSource;

/**
 * Reads the layers of a node: its models' prompts, its regional data, and whether users have preferences. Throws `config_invalid` for a
 * file that cannot be read, for layers that leave a conversation too little of a model's window, and for a prompt of a model whose
 * chat template has no place for it.
 */
export async function openLayers(
  { regionalData: path }: Pick<EdgeNodeConfig, 'regionalData'>,
  served: readonly StartedModel[],
  { node, stampOf, closing }: { readonly node: NodeResources; readonly stampOf: StampOf; readonly closing: Closing },
): Promise<LayersOf> {
  const { environment } = node;
  await node.preferences.start();
  const deployed = new Map<StartedModel, Layer | undefined>();
  for (const model of served) deployed.set(model, await deploymentLayer(model, stampOf));
  const require = async (region: Layer | undefined) => {
    for (const model of served) await requireRoom(model, [deployed.get(model), region]);
  };
  await require(undefined);
  const region = path === undefined ? undefined : new RegionalData(path, stampOf);
  if (region !== undefined) {
    for (const { name, template } of served)
      if (!template.takesSystem) environment.logger.warn('regional_data_left_out', { model: name });
    await region.reload(require);
    closing.later('regional data', watchRegionalData(region, require, environment));
  }
  return (model) =>
    new ModelLayers({
      deployment: deployed.get(model),
      region: () => region?.layer,
      preferences: node.preferences,
    });
}

async function deploymentLayer({ config, name, template }: StartedModel, stampOf: StampOf): Promise<Layer | undefined> {
  const { systemPromptFile: file } = config;
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw invalid(`${file} cannot be read: ${(error as Error).message}`, error);
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > LAYER_BYTES_MAX) throw invalid(`${file} has ${bytes} bytes, and may have ${LAYER_BYTES_MAX}`);
  if (template.whyUnusable === undefined && !template.takesSystem)
    throw invalid(`the chat template of ${name} accepts no system message, and so has no place for ${file}`);
  return layerOf('deployment', text, stampOf);
}

async function requireRoom(
  { name, llm, template }: StartedModel,
  given: readonly (Layer | undefined)[],
): Promise<void> {
  const layers = given.filter((layer) => layer !== undefined);
  if (layers.length === 0 || !template.takesSystem) return;
  const ids = await new LayerPieces(template).ids(layers, EMPTY_PREAMBLE.tools);
  try {
    requireRoomForLayers(ids, llm.description.contextTokens);
  } catch (error) {
    throw new DiscedgeError('config_invalid', `${name}: ${(error as Error).message}`, { cause: error });
  }
}

function invalid(message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('config_invalid', `system-prompt-file: ${message}`, { cause });
}

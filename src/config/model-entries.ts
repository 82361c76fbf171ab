import { isModelName, MODEL_NAME_RULE } from '../domain/cluster/model-identity.ts';
import { nearest } from '../domain/nearest.ts';
import { type EngineKinds, readLlm } from './engine-kinds.ts';
import { checkModels, embedded, type ModelConfig, ownSettings } from './model-config.ts';
import { readSecretFile } from './secret-file.ts';
import type { SettingValue } from './settings/setting-schema.ts';
import { readSettingValue } from './settings/setting-values.ts';
import { SETTINGS, type Setting, type SettingName, type Settings } from './settings/settings.ts';

/** Key of the list in the configuration file. */
export const MODELS_KEY = 'models';

/** Settings that an entry may have, under the key that they have there. */
export const ENTRY_SETTINGS: readonly Setting[] = SETTINGS.filter(({ modelKey }) => modelKey !== undefined);

type EntryValues = Partial<Record<SettingName, SettingValue>>;

/**
 * The models that the configuration file lists under `models`, the default one first; settings of the node stand in for
 * what an entry leaves out. Complains about everything that is wrong, and then returns nothing that is to be used.
 */
export function listedModels(
  list: unknown,
  {
    settings,
    engines,
    filePath,
    complain,
  }: { settings: Settings; engines: EngineKinds; filePath: string; complain: (problem: string) => void },
): ModelConfig[] {
  const place = `${MODELS_KEY} (in ${filePath})`;
  if (!Array.isArray(list) || list.length === 0) {
    complain(`${place} must be a list of models, such as "- model: demo"`);
    return [];
  }
  const models = list.flatMap((entry, index) => {
    const model = readEntry(entry, { settings, engines, place: `model ${index + 1} of ${place}`, complain });
    return model === undefined ? [] : [model];
  });
  checkModels(models, (problem) => complain(`${place} ${problem}`));
  return models;
}

interface EntryPlace {
  readonly settings: Settings;
  readonly engines: EngineKinds;
  readonly place: string;
  readonly complain: (problem: string) => void;
}

function readEntry(entry: unknown, entryPlace: EntryPlace): ModelConfig | undefined {
  const { place, complain } = entryPlace;
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    complain(`${place} must be settings, one "name: value" a line`);
    return undefined;
  }
  if ('model' in entry === 'llm' in entry) complain(`${place} must have either model or llm`);
  const values: EntryValues = {};
  for (const [key, given] of Object.entries(entry)) {
    const setting = ENTRY_SETTINGS.find(({ modelKey }) => modelKey === key);
    if (setting === undefined) complain(`${place}: ${unknownEntryKey(key)}`);
    else if (given === null) complain(`${place}: ${key} has no value; leave the line out for the default`);
    else {
      const reading = readEntryValue(setting, given);
      if ('problem' in reading) complain(`${place}: ${key} ${reading.problem}`);
      else values[setting.name] = reading.value;
    }
  }
  return entryModel(values, entryPlace);
}

function readEntryValue(setting: Setting, given: unknown) {
  if (setting.secret !== true) return readSettingValue(isOne(setting), given);
  const path = readSettingValue({ ...setting, kind: 'path', secret: false }, given);
  return 'problem' in path ? path : readSecretFile(String(path.value));
}

/** An entry is one model, whatever can be given several times elsewhere. */
function isOne(setting: Setting): Setting {
  return setting.kind === 'texts' ? { ...setting, kind: 'text' } : setting;
}

function entryModel(values: EntryValues, { settings, engines, place, complain }: EntryPlace): ModelConfig | undefined {
  const { model, llm, modelName: name, llmApiKey, llmKind, ...own } = values as EntryModelValues;
  if (!isModelName(name ?? '')) complain(`${place}: name ${MODEL_NAME_RULE}`);
  const complainOfLlm = (problem: string) => complain(`${place}: llm ${problem}`);
  const ofLlm =
    llm === undefined
      ? undefined
      : readLlm(llm, { apiKey: llmApiKey, program: llmKind ?? settings.llmKind, engines }, complainOfLlm);
  const source = model === undefined ? ofLlm : embedded(model);
  if (llmApiKey !== undefined && source !== undefined && engines[source.kind]?.takesKey !== true) {
    complain(`${place}: llm-api-key-file is for a server`);
  }
  const { contextTokens } = own;
  const { prefillChunkTokens } = settings;
  if (contextTokens !== undefined && prefillChunkTokens > contextTokens) {
    complain(
      `${place}: context-tokens (${contextTokens}) must be at least prefill-chunk-tokens (${prefillChunkTokens})`,
    );
  }
  return source && { ...ownSettings(settings), ...own, source, name };
}

/** An entry's values; `model` and `llm` are one text here. */
interface EntryModelValues
  extends Partial<
    Pick<
      Settings,
      | 'modelName'
      | 'llmApiKey'
      | 'llmKind'
      | 'chatTemplateFile'
      | 'systemPromptFile'
      | 'llmTokenizer'
      | 'contextTokens'
      | 'parallel'
      | 'mode'
    >
  > {
  readonly model?: string;
  readonly llm?: string;
}

function unknownEntryKey(key: string): string {
  const meant = nearest(
    key,
    ENTRY_SETTINGS.flatMap(({ modelKey }) => modelKey ?? []),
  );
  return `unknown setting "${key}"${meant === undefined ? '' : `: did you mean "${meant}"?`}`;
}

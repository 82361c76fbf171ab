import { isModelName, MODEL_NAME_RULE } from '../domain/cluster/model-identity.ts';
import type { ContextMode } from '../domain/record/turn-record.ts';
import { type EmbeddedSource, type EngineKinds, type ModelSource, readLlm } from './engine-kinds.ts';
import type { Complain } from './given-settings.ts';
import type { SettingName, Settings } from './settings/settings.ts';

/** One model that a node is to serve; every setting has its final value. */
export interface ModelConfig {
  readonly source: ModelSource;
  /** `undefined`: the model's own. */
  readonly name: string | undefined;
  /** `undefined`: the model's own, as far as memory allows. */
  readonly contextTokens: number | undefined;
  /** `undefined`: as memory allows. */
  readonly parallel: number | undefined;
  /** Path of a Jinja template; `undefined`: the model's own. */
  readonly chatTemplateFile: string | undefined;
  /** Path of what it is told before every conversation; `undefined`: nothing. */
  readonly systemPromptFile: string | undefined;
  /** Who tokenizes for a server: `server`, `told` (here, with the file that it names), or a file's path. */
  readonly llmTokenizer: string;
  /** Context mode of requests that name none. */
  readonly mode: ContextMode;
}

/** Models of one node: each takes memory of its own, and at every peer a stream. */
export const MODELS_MAX = 16;

/** Settings that are one model's, and so mean nothing where several are given. */
export const ONE_MODELS = ['modelName', 'llmApiKey', 'chatTemplateFile'] as const;
/** With `models`, they stand in its entries and nowhere else. */
export const IN_ENTRIES_ONLY: readonly SettingName[] = ['model', 'llm', ...ONE_MODELS];

/**
 * The models that flags and variables name, the default one first. Complains about everything that is wrong; what it
 * returns is to be used only when there was no complaint.
 */
export function namedModels(
  settings: Settings,
  {
    engines,
    placeOf,
    complain,
  }: { engines: EngineKinds; placeOf: (name: SettingName) => string | undefined; complain: Complain },
): ModelConfig[] {
  const llmPlace = placeOf('llm');
  const isGiven = (name: SettingName) => placeOf(name) !== undefined;
  if (llmPlace !== undefined && isGiven('model')) {
    complain('model', `excludes ${llmPlace}: a node with both kinds has them under models in its configuration file`);
  }
  const setting = settings.llm === undefined ? 'model' : 'llm';
  const given = settings[setting] ?? [];
  if (given.length > 1) {
    for (const name of ONE_MODELS.filter(isGiven)) {
      complain(name, `is one model's, and ${given.length} are given: ${INSTEAD[name]}`);
    }
  }
  if (!isModelName(settings.modelName ?? '')) complain('modelName', MODEL_NAME_RULE);
  const models = given.flatMap((text): ModelConfig[] => {
    const { name, what } = splitName(text);
    if (name !== undefined && given.length === 1 && settings.modelName !== undefined) {
      complain('modelName', `names a model that has a name already, ${name}`);
    }
    if (!isModelName(name ?? '')) complain(setting, `has a NAME that ${MODEL_NAME_RULE}`);
    const source =
      setting === 'model'
        ? embedded(what)
        : readLlm(what, { apiKey: settings.llmApiKey, program: settings.llmKind, engines }, (problem) =>
            complain(setting, problem),
          );
    return source === undefined ? [] : [{ ...ownSettings(settings), source, name: name ?? settings.modelName }];
  });
  checkModels(models, (problem) => complain(setting, problem));
  return models;
}

const INSTEAD = {
  modelName: 'write NAME=MODEL',
  llmApiKey: 'list the models under models in a file, each with its llm-api-key-file',
  chatTemplateFile: 'list the models under models in a file, each with its chat-template-file',
} as const satisfies Record<(typeof ONE_MODELS)[number], string>;

/** `NAME=SOURCE`. A name holds no slash, backslash or colon, so that neither a path nor a URL can be taken for one. */
function splitName(text: string): { readonly name: string | undefined; readonly what: string } {
  const [, name, what] = /^([^=/\\:]+)=(.+)$/s.exec(text) ?? [];
  return what === undefined ? { name: undefined, what: text } : { name, what };
}

/** What every model has unless it says otherwise. */
export function ownSettings(settings: Settings) {
  const { contextTokens, parallel, chatTemplateFile, systemPromptFile, llmTokenizer, mode } = settings;
  return { contextTokens, parallel, chatTemplateFile, systemPromptFile, llmTokenizer, mode };
}

export function embedded(model: string): EmbeddedSource {
  return { kind: 'embedded', model };
}

/** What holds for all of them together. */
export function checkModels(models: readonly ModelConfig[], complain: (problem: string) => void): void {
  if (models.length > MODELS_MAX) complain(`names ${models.length} models, and a node serves at most ${MODELS_MAX}`);
  const names = models.flatMap(({ name }) => (name === undefined ? [] : [name]));
  for (const name of new Set(names.filter((name, place) => names.indexOf(name) !== place))) {
    complain(`names two models ${name}: a name is one model's`);
  }
}

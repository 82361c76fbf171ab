import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { DiscedgeError } from '../../domain/errors.ts';
import type { ServerConnection } from '../http/server-connection.ts';

/** What vLLM says of the model that it serves. */
export interface ServedModel {
  /** Its name there (`--served-model-name`); every request repeats it. */
  readonly id: string;
  /** Where its files lie, as the server was told. */
  readonly root: string | undefined;
  /** Ids that prompt and reply may have together (`--max-model-len`). */
  readonly contextTokens: number;
}

/** vLLM `/v1/models`: what we use of it. */
const Models = Type.Object({
  data: Type.Array(
    Type.Object({
      id: Type.String(),
      owned_by: Type.Optional(Type.String()),
      root: Type.Optional(Type.Union([Type.Null(), Type.String()])),
      parent: Type.Optional(Type.Union([Type.Null(), Type.String()])),
      max_model_len: Type.Optional(Type.Union([Type.Null(), Type.Integer({ minimum: 2 })])),
    }),
  ),
});
const isModels = Compile(Models);

/** Throws `llm_unavailable` (not there, still loading, wrong key) or `llm_bad_reply` (not a vLLM). */
export async function askServedModel(connection: ServerConnection, signal?: AbortSignal): Promise<ServedModel> {
  const models = await connection.get('v1/models', signal);
  if (!isModels.Check(models)) throw connection.badReply('/v1/models without a model');
  // Adapters (LoRA) stand in the list beside the model that they are of.
  const model = models.data.find(({ parent }) => parent === null || parent === undefined);
  if (typeof model?.max_model_len !== 'number') {
    throw connection.badReply('/v1/models without a model that has a context length; is it a vLLM?');
  }
  return { id: model.id, root: model.root ?? undefined, contextTokens: model.max_model_len };
}

/** vLLM `/tokenizer_info`, which it has with `--enable-tokenizer-info-endpoint`: what we use of it. */
const TokenizerInfo = Type.Object({
  chat_template: Type.Optional(Type.Unknown()),
  bos_token: Type.Optional(Type.Unknown()),
  eos_token: Type.Optional(Type.Unknown()),
  added_tokens_decoder: Type.Optional(Type.Record(Type.String(), Type.String())),
});
const isTokenizerInfo = Compile(TokenizerInfo);

export interface TokenizerInfo {
  /** `undefined` where it has none, or several under names. */
  readonly chatTemplate: string | undefined;
  readonly bosText: string;
  readonly eosText: string;
  /** Texts of tokens that stand beside the vocabulary: control tokens, and others that are never split. */
  readonly addedTokens: readonly string[];
  /** Those of them that the tokenizer's configuration names as something: an end, a separator. */
  readonly namedTokens: ReadonlySet<string>;
}

/** `undefined` where the server does not tell. */
export async function askTokenizerInfo(
  connection: ServerConnection,
  signal?: AbortSignal,
): Promise<TokenizerInfo | undefined> {
  let info: unknown;
  try {
    info = await connection.get('tokenizer_info', signal);
  } catch (error) {
    if (error instanceof DiscedgeError && error.code === 'llm_bad_reply') return undefined;
    throw error;
  }
  if (!isTokenizerInfo.Check(info)) return undefined;
  const named = Object.entries(info).flatMap(([key, value]) => (/_tokens?$/.test(key) ? textsIn(value) : []));
  return {
    chatTemplate: typeof info.chat_template === 'string' ? info.chat_template : undefined,
    bosText: textsIn(info.bos_token)[0] ?? '',
    eosText: textsIn(info.eos_token)[0] ?? '',
    addedTokens: Object.values(info.added_tokens_decoder ?? {}),
    namedTokens: new Set(named),
  };
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value === '' ? [] : [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).filter((text) => typeof text === 'string' && text !== '') as string[];
}

import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { digestText, TOKENIZER_PROBES, tokenizerDigest } from '../../domain/cluster/model-identity.ts';
import { TOKEN_ID_MAX, type TokenId } from '../../domain/token-sequence.ts';
import { END_TOKEN_TEXTS } from '../end-token-texts.ts';
import type { ServerConnection } from '../http/server-connection.ts';
import type { LlmDescription } from '../llm-service.ts';
import { modelNameFromFile } from '../model-name.ts';
import { badReply } from './server-errors.ts';
import { ServerTokenizer } from './server-tokenizer.ts';

/** What llama-server says of itself and its model. */
export interface ServerFacts {
  readonly description: LlmDescription;
  /** Requests that it works on at once. */
  readonly slots: number;
  /** Its own name for the model; every completion repeats it. */
  readonly servedModel: string;
  /** The end token, where the server names one. */
  readonly eos: TokenId | undefined;
  readonly tokenizer: ServerTokenizer;
  /** Its model's file, by its path there. */
  readonly modelFile: string | undefined;
}

/** llama-server `/props`: what we use of it. */
const Props = Type.Object({
  total_slots: Type.Integer({ minimum: 1 }),
  default_generation_settings: Type.Object({ n_ctx: Type.Integer({ minimum: 1 }) }),
  model_alias: Type.Optional(Type.String()),
  model_path: Type.Optional(Type.String()),
  chat_template: Type.Optional(Type.String()),
  bos_token: Type.Optional(Type.String()),
  eos_token: Type.Optional(Type.String()),
});
/** llama-server `/v1/models`: what we use of it. */
const Models = Type.Object({
  data: Type.Array(
    Type.Object({
      id: Type.String(),
      meta: Type.Optional(
        Type.Union([Type.Null(), Type.Object({ n_vocab: Type.Optional(Type.Integer({ minimum: 1 })) })]),
      ),
    }),
    { minItems: 1 },
  ),
});
const isProps = Compile(Props);
const isModels = Compile(Models);

/**
 * Asks the server for everything a description needs. `modelName` and `chatTemplate` go before what it says. Throws
 * `llm_unavailable` (not there, still loading, wrong key) or `llm_bad_reply` (not a llama-server, or one too old).
 */
export async function describeServer(
  connection: ServerConnection,
  {
    modelName,
    chatTemplate: ownTemplate,
    signal,
  }: {
    readonly modelName: string | undefined;
    readonly chatTemplate?: string | undefined;
    readonly signal: AbortSignal | undefined;
  },
): Promise<ServerFacts> {
  await connection.get('health', signal);
  const props = await connection.get('props', signal);
  if (!isProps.Check(props)) throw badReply(connection.url, '/props without slots and a context size');
  const models = await connection.get('v1/models', signal);
  if (!isModels.Check(models)) throw badReply(connection.url, '/v1/models without a model');
  const [model] = models.data;
  const vocabularySize = model?.meta?.n_vocab ?? TOKEN_ID_MAX + 1;
  const servedModel = props.model_alias || model?.id || '';
  const tokenizer = new ServerTokenizer(connection, vocabularySize);

  const chatTemplate = ownTemplate ?? props.chat_template;
  const probeIds: TokenId[][] = [];
  for (const probe of TOKENIZER_PROBES) {
    probeIds.push(await tokenizer.tokenize(probe, { parseSpecial: false }, signal));
  }
  const eosIds = await tokenizer.tokenize(props.eos_token ?? '', { parseSpecial: true }, signal);
  const eos = eosIds.length === 1 ? eosIds[0] : undefined;
  const endOfGeneration = new Set<TokenId>(eos === undefined ? [] : [eos]);
  for (const text of END_TOKEN_TEXTS) {
    const id = await tokenizer.controlToken(text, signal);
    if (id !== undefined) endOfGeneration.add(id);
  }
  const [prependBos] = await tokenizer.tokenize('', { parseSpecial: false, addSpecial: true }, signal);

  return {
    description: {
      identity: {
        name: modelName ?? modelNameFromFile(servedModel),
        tokenizerDigest: tokenizerDigest(probeIds),
        templateDigest: digestText(chatTemplate ?? ''),
      },
      contextTokens: props.default_generation_settings.n_ctx,
      vocabularySize,
      chatTemplate: chatTemplate || undefined,
      bosText: props.bos_token ?? '',
      eosText: props.eos_token ?? '',
      prependBos,
      endOfGeneration,
    },
    slots: props.total_slots,
    servedModel,
    eos,
    tokenizer,
    modelFile: props.model_path,
  };
}

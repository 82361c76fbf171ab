import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { digestText, TOKENIZER_PROBES, tokenizerDigest } from '../../domain/cluster/model-identity.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import { END_TOKEN_TEXTS } from '../end-token-texts.ts';
import type { ServerConnection } from '../http/server-connection.ts';
import type { LlmDescription } from '../llm-service.ts';
import { modelNameFromFile } from '../model-name.ts';
import { PATHS, requestBody, type VllmApi } from './generation-request.ts';
import type { ModelVocabulary } from './model-vocabulary.ts';
import { askServedModel, askTokenizerInfo, type ServedModel } from './served-model.ts';
import { ServerVocabulary } from './server-vocabulary.ts';
import { needsFlag } from './vllm-errors.ts';

/** Texts whose ids tell tokenizers apart, for one that reads control tokens in every text: some normalize, so these are normal. */
const COMPARED_TEXTS = [...TOKENIZER_PROBES, END_TOKEN_TEXTS.join(' ')].map((text) => text.normalize('NFC'));
const isTokens = Compile(Type.Object({ tokens: Type.Array(Type.Integer({ minimum: 0 })) }));

/** What the server serves, as far as a session would notice a change. */
export interface ServerState extends ServedModel {
  /** The ids that it makes of {@link COMPARED_TEXTS}, in order. */
  readonly textIds: readonly (readonly number[])[];
}

/** Throws `llm_unavailable` (not there, still loading, wrong key) or `llm_bad_reply` (not a vLLM). */
export async function askState(connection: ServerConnection, signal?: AbortSignal): Promise<ServerState> {
  const model = await askServedModel(connection, signal);
  const textIds = await Promise.all(
    COMPARED_TEXTS.map(async (prompt) => {
      const body = JSON.stringify({ model: model.id, prompt, add_special_tokens: false });
      const reply = await connection.post('tokenize', body, signal);
      if (!isTokens.Check(reply)) throw connection.badReply('something that is not the ids of a text');
      return reply.tokens;
    }),
  );
  return { ...model, textIds };
}

/**
 * The vocabulary that `file` opens, if it is the server's; without one the server's own. Throws `model_unusable` for another model's,
 * `llm_unavailable` where the server would have to be started with a flag.
 */
export async function vocabularyFor(
  connection: ServerConnection,
  state: ServerState,
  file: (() => Promise<ModelVocabulary>) | undefined,
): Promise<ModelVocabulary> {
  if (file === undefined) {
    const info = await askTokenizerInfo(connection);
    if (info !== undefined) return ServerVocabulary.open(connection, state.id, info);
    const flag =
      '--enable-tokenizer-info-endpoint, or name the model’s tokenizer.json or GGUF file with --llm-tokenizer';
    throw needsFlag(connection.url, { flag, without: 'does not tell its control tokens and chat template' });
  }
  const vocabulary = await file();
  const own = await Promise.all(COMPARED_TEXTS.map((text) => vocabulary.tokenize(text, { parseSpecial: true })));
  if (JSON.stringify(own) === JSON.stringify(state.textIds)) return vocabulary;
  await vocabulary.close();
  throw new DiscedgeError(
    'model_unusable',
    `the tokenizer ${vocabulary.where} makes other ids of a text than vLLM at ${connection.url.origin}, which serves ${state.id}: it is another model's`,
  );
}

/** `modelName` and `chatTemplate` go before what server and vocabulary say. */
export async function describeModel(
  state: ServerState,
  vocabulary: ModelVocabulary,
  given: { readonly modelName: string | undefined; readonly chatTemplate: string | undefined },
): Promise<LlmDescription> {
  const probeIds: TokenId[][] = [];
  for (const probe of TOKENIZER_PROBES) probeIds.push(await vocabulary.tokenize(probe, { parseSpecial: false }));
  const chatTemplate = given.chatTemplate ?? vocabulary.chatTemplate;
  const { vocabularySize, bosText, eosText, prependBos, endOfGeneration } = vocabulary;
  return {
    identity: {
      name: given.modelName ?? modelNameFromFile(state.id),
      tokenizerDigest: tokenizerDigest(probeIds),
      templateDigest: digestText(chatTemplate ?? ''),
    },
    contextTokens: state.contextTokens,
    chatTemplate: chatTemplate || undefined,
    ...{ vocabularySize, bosText, eosText, prependBos, endOfGeneration },
  };
}

/** What a reply must tell, of either API. */
const Reply = Type.Object({
  choices: Type.Array(Type.Object({ text: Type.String(), token_ids: Type.Array(Type.Integer()) }), { minItems: 1 }),
  usage: Type.Object({ prompt_tokens_details: Type.Object({ cached_tokens: Type.Integer() }) }),
});
const isReply = Compile(Reply);
const hasIds = Compile(Type.Pick(Reply, ['choices']));

/**
 * Which of its APIs answers with ids, by asking each for one id. Throws `llm_unavailable`, and names the flag, where the server does not
 * tell what it must.
 */
export async function chooseApi(connection: ServerConnection, model: string, id: TokenId): Promise<VllmApi> {
  for (const api of ['generate', 'completions'] as const) {
    const reply = await askOneId(connection, { api, model, id });
    if (isReply.Check(reply)) return api;
    if (hasIds.Check(reply)) {
      const without = 'does not tell how much of a prompt it had cached';
      throw needsFlag(connection.url, { flag: '--enable-prompt-tokens-details', without });
    }
  }
  const without = 'does not tell the ids of a reply';
  throw needsFlag(connection.url, { flag: '--enable-scale-out, of version 0.32 or later', without });
}

/** `undefined` where the server has no such API, or not for everyone. */
async function askOneId(
  connection: ServerConnection,
  { api, model, id }: { readonly api: VllmApi; readonly model: string; readonly id: TokenId },
): Promise<unknown> {
  const greedy = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, ignore_eos: false };
  const sampling = { ...greedy, repetition_penalty: 1, presence_penalty: 0, frequency_penalty: 0 };
  const read = { sampling, probabilities: 0 };
  const parts = { model, read, maxTokens: 1, stopIds: [], cacheSalt: undefined };
  try {
    return await connection.post(PATHS[api], requestBody(api, { prompt: [id], stop: [], stream: false }, parts));
  } catch (error) {
    // 403 and 404: switched off. Whether the key is right was seen before, with the model's name.
    if (error instanceof DiscedgeError && ['llm_bad_reply', 'llm_unavailable'].includes(error.code)) return undefined;
    throw error;
  }
}

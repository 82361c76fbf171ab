import type { LlamaModel, Token } from 'node-llama-cpp';
import { digestText, TOKENIZER_PROBES, tokenizerDigest } from '../../domain/cluster/model-identity.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import { checkGgufFile } from '../gguf-file.ts';
import { loadLlamaLibrary, startLlama } from '../llama-library.ts';
import type { LlmDescription, Vocabulary } from '../llm-service.ts';
import { modelNameFromFile } from '../model-name.ts';
import { VocabularyBytes } from '../vocabulary-bytes.ts';

/** What a model's vocabulary says of how texts begin and end. */
export function textEndsOf(
  model: LlamaModel,
): Pick<LlmDescription, 'bosText' | 'eosText' | 'prependBos' | 'endOfGeneration'> {
  const bos = model.tokens.shouldPrependBosToken ? model.tokens.bos : null;
  const ends = [...model.iterateAllTokens()].filter((token) => model.isEogToken(token));
  return {
    bosText: model.tokens.bosString ?? '',
    eosText: model.tokens.eosString ?? '',
    prependBos: bos === null ? undefined : (bos as number as TokenId),
    endOfGeneration: new Set(ends as number[] as TokenId[]),
  };
}

/**
 * The vocabulary of a GGUF file, which may have no weights. Throws `model_unusable` for a file that has none,
 * `package_missing` where node-llama-cpp is not installed.
 */
export async function openVocabulary(path: string): Promise<Vocabulary & { close(): Promise<void> }> {
  const library = await loadLlamaLibrary();
  await checkGgufFile(path, (file) => library.readGgufFileInfo(file, { logWarnings: false }), { weights: false });
  const llama = await startLlama(library, false);
  const model = await llama.loadModel({ modelPath: path, vocabOnly: true, gpuLayers: 0 }).catch((cause: unknown) => {
    throw new DiscedgeError('model_unusable', `model file ${path} cannot be loaded by llama.cpp`, { cause });
  });
  const { ggml, chat_template: chatTemplate } = model.fileInfo.metadata.tokenizer ?? {};
  const bytes = new VocabularyBytes(ggml);
  const tokenize = (text: string, parseSpecial: boolean) => model.tokenize(text, parseSpecial) as number[] as TokenId[];
  const detokenize = (ids: readonly TokenId[], special: boolean) =>
    model.detokenize(ids as readonly number[] as Token[], special);
  return {
    description: {
      identity: {
        name: modelNameFromFile(path),
        tokenizerDigest: tokenizerDigest(TOKENIZER_PROBES.map((text) => tokenize(text, false))),
        templateDigest: digestText(chatTemplate ?? ''),
      },
      // Nothing is evaluated with it.
      contextTokens: Number.MAX_SAFE_INTEGER,
      vocabularySize: ggml?.tokens?.length ?? 0,
      chatTemplate,
      ...textEndsOf(model),
    },
    tokenize: async (text, { parseSpecial }) => tokenize(text, parseSpecial),
    detokenize: async (ids, { special } = { special: false }) => detokenize(ids, special),
    pieces: async (ids) => ids.map((id) => bytes.bytesOf(id) ?? Buffer.from(detokenize([id], true))),
    close: () => model.dispose(),
  };
}

import { getLlama, LlamaLogLevel, type Token } from 'node-llama-cpp';
import type { TokenId, TokenSequence } from '../src/domain/token-sequence.ts';
import type { LlmDescription, LlmService } from '../src/llm-service/llm-service.ts';

/** A GGUF's real tokenizer, as llama.cpp runs it, without the model. */
export interface Vocabulary {
  readonly description: LlmDescription;
  readonly tokenize: LlmService['tokenize'];
  /** Text of ids; control tokens as their text. */
  text(ids: TokenSequence): string;
  /** Ids that are control tokens: those that `controls` become when special tokens are parsed. */
  controlIds(controls: readonly string[]): ReadonlySet<TokenId>;
  close(): Promise<void>;
}

export async function loadVocabulary(modelPath: string): Promise<Vocabulary> {
  const llama = await getLlama({ build: 'never', gpu: false, maxThreads: 1, logLevel: LlamaLogLevel.disabled });
  const model = await llama.loadModel({ modelPath, vocabOnly: true, gpuLayers: 0 });
  const { tokens, fileInfo } = model;
  const encode = (text: string, parseSpecial: boolean) =>
    [...model.tokenize(text, parseSpecial)] as number[] as TokenId[];
  const ends = [tokens.eos, tokens.eot].filter((id) => id !== null) as number[] as TokenId[];
  return {
    description: {
      identity: { name: 'vocabulary', tokenizerDigest: '', templateDigest: '' },
      contextTokens: 4096,
      vocabularySize: fileInfo.metadata.tokenizer?.ggml.tokens.length ?? 0,
      chatTemplate: fileInfo.metadata.tokenizer?.chat_template,
      bosText: tokens.bosString ?? '',
      eosText: tokens.eosString ?? '',
      prependBos: tokens.shouldPrependBosToken
        ? (((tokens.bos as number | null) ?? undefined) as TokenId | undefined)
        : undefined,
      endOfGeneration: new Set(ends),
    },
    tokenize: async (text, { parseSpecial }) => encode(text, parseSpecial),
    text: (ids) => model.detokenize([...ids] as number[] as Token[], true),
    controlIds: (controls) => new Set(controls.flatMap((text) => encode(text, true))),
    async close() {
      await model.dispose();
      await llama.dispose();
    },
  };
}

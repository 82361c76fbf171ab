import { digestText, TOKENIZER_PROBES, tokenizerDigest } from 'discedge/internal/domain/cluster/model-identity';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import type { TokenId, TokenSequence } from 'discedge/internal/domain/token-sequence';
import { loadLlamaLibrary, startLlama } from 'discedge/internal/llm-service/llama-library';
import type {
  GenerationEvent,
  GenerationRequest,
  LlmDescription,
  LlmService,
} from 'discedge/internal/llm-service/llm-service';
import type { Token } from 'node-llama-cpp';

/** What users say, and what was written for the model to say. */
export interface WrittenTurn {
  readonly message: string;
  readonly reply: string;
}

export interface WrittenReplies {
  readonly turns: readonly WrittenTurn[];
  /** A GGUF file; its weights, if it has any, are not loaded. */
  readonly vocabularyPath: string;
  readonly modelName: string;
  readonly contextTokens: number;
}

/**
 * An LLM Service that says what was written for it, as ids of a real vocabulary: the reply that belongs to the last
 * message of the prompt that it knows, cut at the limit as a model's would be. Prompts are evaluated by nobody, so its
 * times mean nothing and all of a prompt counts as cached but its last id. Throws `model_unusable`.
 */
export async function startTranscript(written: WrittenReplies): Promise<LlmService> {
  const library = await loadLlamaLibrary();
  const llama = await startLlama(library, false);
  const { vocabularyPath } = written;
  const model = await llama.loadModel({ modelPath: vocabularyPath, vocabOnly: true, gpuLayers: 0 }).catch((cause) => {
    throw new DiscedgeError('model_unusable', `the vocabulary of ${vocabularyPath} cannot be loaded`, { cause });
  });
  const { tokens, fileInfo } = model;
  const tokenizer = fileInfo.metadata.tokenizer;
  const encode = (text: string, parseSpecial: boolean) =>
    Array.from(model.tokenize(text, parseSpecial) as readonly number[]) as TokenId[];
  const decode = (ids: TokenSequence, special: boolean) =>
    model.detokenize(ids as readonly number[] as Token[], special);
  const ends = [tokens.eos, tokens.eot].flatMap((id) => (id === null ? [] : [id as number as TokenId]));
  const description: LlmDescription = {
    identity: {
      name: written.modelName,
      tokenizerDigest: tokenizerDigest(TOKENIZER_PROBES.map((text) => encode(text, false))),
      templateDigest: digestText(tokenizer?.chat_template ?? ''),
    },
    contextTokens: written.contextTokens,
    vocabularySize: tokenizer?.ggml.tokens.length ?? 0,
    chatTemplate: tokenizer?.chat_template,
    bosText: tokens.bosString ?? '',
    eosText: tokens.eosString ?? '',
    prependBos: tokens.shouldPrependBosToken && tokens.bos !== null ? (tokens.bos as number as TokenId) : undefined,
    endOfGeneration: new Set(ends),
  };
  return {
    description,
    tokenize: async (text, { parseSpecial }) => encode(text, parseSpecial),
    detokenize: async (ids, how) => decode(ids, how?.special ?? false),
    pieces: async (ids) => ids.map((id) => Buffer.from(decode([id], true))),
    slots: () => [{ busy: false }],
    async *generate({ prompt, maxTokens }: GenerationRequest, signal): AsyncIterable<GenerationEvent> {
      signal.throwIfAborted();
      const room = written.contextTokens - prompt.length;
      if (room < 1) throw new DiscedgeError('context_overflow', `a prompt of ${prompt.length} ids leaves no room`);
      const whole = encode(replyTo(decode(prompt, true), written.turns), false);
      const limit = Math.min(maxTokens, room);
      const isCut = whole.length >= limit;
      const said = whole.slice(0, limit);
      const ids = isCut ? said : [...said, ...ends.slice(0, 1)];
      const text = decode(said, false);
      yield { kind: 'part', text, ids };
      const usage = { promptMs: 0, predictedMs: 0, predictedTokens: ids.length };
      yield {
        kind: 'end',
        ids,
        text,
        exact: true,
        stop: { kind: isCut ? 'limit' : 'end' },
        usage: { ...usage, cachedTokens: prompt.length - 1, evaluatedTokens: 1 },
      };
    },
    ready: async () => {},
    close: () => model.dispose(),
  };
}

/** The reply of the written message that comes last in the prompt. Throws `llm_bad_reply` where none is in it. */
function replyTo(prompt: string, turns: readonly WrittenTurn[]): string {
  let found: { readonly at: number; readonly reply: string } | undefined;
  for (const { message, reply } of turns) {
    const at = prompt.lastIndexOf(message);
    if (at !== -1 && at > (found?.at ?? -1)) found = { at, reply };
  }
  if (found !== undefined) return found.reply;
  throw new DiscedgeError('llm_bad_reply', 'nothing was written for this message');
}

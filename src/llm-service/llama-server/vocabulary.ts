import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { TOKENIZER_PROBES } from '../../domain/cluster/model-identity.ts';
import type { TokenId, TokenSequence } from '../../domain/token-sequence.ts';
import type { GenerationEvent, GenerationRequest, LlmDescription } from '../llm-service.ts';
import type { ServerTokenizer } from './server-tokenizer.ts';

const Byte = Type.Integer({ minimum: 0, maximum: 255 });
const Candidates = Type.Array(Type.Object({ id: Type.Integer({ minimum: 0 }), bytes: Type.Array(Byte) }));
/** `completion_probabilities` of one id, before sampling. */
const Probabilities = Type.Tuple([Type.Object({ top_logprobs: Candidates })]);
const isProbabilities = Compile(Probabilities);

/** Four times the largest there is. Of a server that does not say how many ids there are, none is asked for. */
const VOCABULARY_MAX = 1_000_000;

/**
 * The text of every id of a model, as llama-server shows it in replies: control tokens have none. With it what is stored is
 * read on this node, at once, whatever the server does.
 */
export class Vocabulary {
  readonly #bytes: Uint8Array;
  /** Where the text of each id ends, and the next one's begins. */
  readonly #ends: Uint32Array;

  private constructor(pieces: readonly Uint8Array[]) {
    this.#bytes = Buffer.concat(pieces);
    let end = 0;
    this.#ends = Uint32Array.from(pieces, (piece) => {
      end += piece.length;
      return end;
    });
  }

  /** `undefined` unless each id from 0 on is there once. */
  static of(candidates: Static<typeof Candidates>): Vocabulary | undefined {
    const pieces: Uint8Array[] = [];
    for (const { id, bytes } of candidates) pieces[id] = Uint8Array.from(bytes);
    const isWhole = pieces.length === candidates.length && !pieces.includes(undefined as never);
    return isWhole ? new Vocabulary(pieces) : undefined;
  }

  get size(): number {
    return this.#ends.length;
  }

  /** Incomplete UTF-8 gives U+FFFD. Of ids of the vocabulary only. */
  textOf(ids: TokenSequence): string {
    return Buffer.concat(ids.map((id) => this.#pieceOf(id))).toString('utf8');
  }

  #pieceOf(id: TokenId): Uint8Array {
    return this.#bytes.subarray(id === 0 ? 0 : this.#ends[id - 1], this.#ends[id]);
  }
}

export interface VocabularySource {
  readonly description: LlmDescription;
  readonly tokenizer: ServerTokenizer;
  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent>;
}

/**
 * Asks the server for the vocabulary: it names the probability of every id, with its bytes, beside the one id that it is made
 * to sample. `undefined` where it does not, or where that is not what it makes of ids elsewhere. Throws what `generate` throws.
 */
export async function askVocabulary(source: VocabularySource, signal: AbortSignal): Promise<Vocabulary | undefined> {
  const { description, tokenizer } = source;
  const { vocabularySize, endOfGeneration, prependBos = 0 as TokenId } = description;
  if (vocabularySize > VOCABULARY_MAX) return undefined;
  const request: GenerationRequest = {
    prompt: [prependBos],
    maxTokens: 1,
    stop: [],
    sampling: { n_probs: vocabularySize, temperature: 0 },
    affinity: undefined,
    stream: false,
  };
  let probabilities: unknown;
  for await (const event of source.generate(request, signal)) {
    if (event.kind === 'end') probabilities = event.fields?.completion_probabilities;
  }
  if (!isProbabilities.Check(probabilities)) return undefined;
  const vocabulary = Vocabulary.of(probabilities[0].top_logprobs);
  if (vocabulary?.size !== vocabularySize || [...endOfGeneration].some((id) => vocabulary.textOf([id]) !== ''))
    return undefined;
  const probes = await tokenizer.tokenize(TOKENIZER_PROBES.join('\n'), { parseSpecial: false }, signal);
  return vocabulary.textOf(probes) === (await tokenizer.spell(probes, signal)) ? vocabulary : undefined;
}

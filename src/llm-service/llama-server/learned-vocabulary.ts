import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { Logger } from '../../environment/environment.ts';
import { isLlmFailure } from '../llm-service.ts';
import { askVocabulary, type Vocabulary, type VocabularySource } from './vocabulary.ts';

/** What ids say, as soon as the server has told it; until then it is asked each time. */
export class LearnedVocabulary {
  readonly #source: VocabularySource;
  readonly #url: URL;
  readonly #logger: Logger;
  #vocabulary: Vocabulary | undefined;
  #learning: Promise<void> | undefined;

  constructor(source: VocabularySource, { url, logger }: { readonly url: URL; readonly logger: Logger }) {
    this.#source = source;
    this.#url = url;
    this.#logger = logger;
  }

  /** `undefined` until it is learned. Of ids of the vocabulary only. */
  textOf(ids: TokenSequence): string | undefined {
    return this.#vocabulary?.textOf(ids);
  }

  /** Resolves once it is learned, or the server does not tell it; after a failure it is asked again the next time. Never rejects. */
  learn(): Promise<void> {
    this.#learning ??= this.#learn();
    return this.#learning;
  }

  async #learn(): Promise<void> {
    const { signal } = new AbortController();
    try {
      this.#vocabulary = await askVocabulary(this.#source, signal);
      if (this.#vocabulary !== undefined) return;
    } catch (error) {
      if (isLlmFailure(error)) {
        this.#learning = undefined;
        this.#logger.warn('llama_server_vocabulary_failed', {}, error);
        return;
      }
    }
    this.#logger.warn('llama_server_tells_no_vocabulary', {
      url: this.#url.origin,
      effect: 'reading stored turns asks it for each text, and needs it to be there',
    });
  }
}

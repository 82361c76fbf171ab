import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { LlmDescription, LlmService } from '../llm-service.ts';

/** What makes ids of texts and texts of ids for a model that vLLM serves, and what else it knows of the model. */
export interface ModelVocabulary
  extends Pick<
    LlmDescription,
    'vocabularySize' | 'chatTemplate' | 'bosText' | 'eosText' | 'prependBos' | 'endOfGeneration'
  > {
  /** For people: where it works. */
  readonly where: string;
  /** Whether it is the server that tokenizes. */
  readonly asksServer: boolean;
  tokenize: LlmService['tokenize'];
  /** Throws `invalid_request` for ids outside the vocabulary. */
  detokenize(ids: TokenSequence, options?: { readonly special: boolean }): Promise<string>;
  pieces(ids: TokenSequence): Promise<Uint8Array[]>;
  /** Drops what the server has told, which may have been another in its place. */
  forget?(): void;
  close(): Promise<void>;
}

/** A GGUF file's, in a process of this node's; `service` has no weights. */
export function ofGguf(service: LlmService, path: string): ModelVocabulary {
  const { vocabularySize, chatTemplate, bosText, eosText, prependBos, endOfGeneration } = service.description;
  return {
    ...{ vocabularySize, chatTemplate, bosText, eosText, prependBos, endOfGeneration },
    where: `here, with ${path}`,
    asksServer: false,
    tokenize: (text, how) => service.tokenize(text.toWellFormed(), how),
    detokenize: (ids, how) => service.detokenize(ids, how),
    pieces: (ids) => service.pieces(ids),
    close: () => service.close(),
  };
}

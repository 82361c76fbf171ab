// What a tokenizer's process runs: the vocabulary of one GGUF file, without its weights. Started by launch-engine.ts.
import { DiscedgeError } from '../../domain/errors.ts';
import { openVocabulary } from '../../llm-service/embedded/vocabulary.ts';
import { runEngine } from './run-engine.ts';

export interface VocabularyOptions {
  /** A GGUF file. */
  readonly path: string;
}

await runEngine<VocabularyOptions>(async ({ path }) => ({
  ...(await openVocabulary(path)),
  slots: () => [],
  generate: () => {
    throw new DiscedgeError('unsupported_parameter', 'A vocabulary without weights writes nothing.');
  },
  ready: async () => {},
}));

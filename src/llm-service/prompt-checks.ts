import { DiscedgeError } from '../domain/errors.ts';
import type { TokenSequence } from '../domain/token-sequence.ts';
import type { GenerationRequest, LlmDescription } from './llm-service.ts';

/** Throws `invalid_request` or `context_overflow` for a generation that no engine could begin. */
export function assertPrompt(
  { prompt, maxTokens }: Pick<GenerationRequest, 'prompt' | 'maxTokens'>,
  description: LlmDescription,
): void {
  const { contextTokens } = description;
  if (prompt.length === 0) throw new DiscedgeError('invalid_request', 'the prompt is empty', { param: 'prompt' });
  if (!(Number.isInteger(maxTokens) && maxTokens >= 0)) {
    throw new DiscedgeError('invalid_request', 'n_predict must be a whole number, and not negative', {
      param: 'n_predict',
    });
  }
  if (prompt.length >= contextTokens) {
    const message = `the prompt has ${prompt.length} ids, and the context window ${contextTokens} with the reply`;
    throw new DiscedgeError('context_overflow', message, { param: 'prompt' });
  }
  assertVocabulary(prompt, description);
}

/** llama.cpp ends the process on an id that it does not know. */
export function assertVocabulary(ids: TokenSequence, { vocabularySize }: Pick<LlmDescription, 'vocabularySize'>): void {
  if (ids.every((id) => Number.isInteger(id) && id >= 0 && id < vocabularySize)) return;
  const message = `the prompt has an id outside the vocabulary (0 to ${vocabularySize - 1})`;
  throw new DiscedgeError('invalid_request', message, { param: 'prompt' });
}

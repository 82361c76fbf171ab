import { DiscedgeError } from '../../domain/errors.ts';
import { appendTokens, type TokenId } from '../../domain/token-sequence.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { ForwardRequest } from '../turn/turn.ts';
import { overflowError } from './context-overflow.ts';

/** The least that has to be left for a reply, in ids. */
const REPLY_TOKENS_MIN = 1;

/**
 * The prompt of a client that keeps its context itself, as it is, control tokens and all. Throws `invalid_request` for a
 * prompt without ids or with ids that the model does not have, and `context_overflow`.
 */
export async function clientSidePrompt(llm: LlmService, { prompt }: ForwardRequest): Promise<TokenId[]> {
  const { prependBos, contextTokens, vocabularySize } = llm.description;
  const addsBos = prependBos !== undefined && typeof prompt[0] === 'string';
  const ids: TokenId[] = addsBos ? [prependBos] : [];
  for (const piece of prompt) {
    if (typeof piece === 'string') appendTokens(ids, await llm.tokenize(piece, { parseSpecial: true }));
    else appendTokens(ids, piece);
  }
  if (addsBos && ids[1] === prependBos) ids.shift();
  if (ids.length === 0) throw new DiscedgeError('invalid_request', 'prompt has no tokens', { param: 'prompt' });
  if (ids.some((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize)) {
    throw new DiscedgeError('invalid_request', `prompt has ids outside the vocabulary of ${vocabularySize}`, {
      param: 'prompt',
    });
  }
  const neededTokens = ids.length + REPLY_TOKENS_MIN;
  if (neededTokens > contextTokens) throw overflowError('prompt', { neededTokens, windowTokens: contextTokens });
  return ids;
}

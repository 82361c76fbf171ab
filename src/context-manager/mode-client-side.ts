import { DiscedgeError } from '../domain/errors.ts';
import type { TurnNumber } from '../domain/identifiers.ts';
import { appendTokens, type TokenId } from '../domain/token-sequence.ts';
import type { LlmService } from '../llm-service/llm-service.ts';
import { overflowError } from './context-overflow.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';

/** Context kept by the client: the prompt is used as it is, control tokens and all, and nothing is stored. */
export function clientSideMode(llm: LlmService): Mode {
  return {
    name: 'client-side',

    async build({ request, replyTokens }: BuildInput): Promise<Prompt> {
      const { prependBos, contextTokens, vocabularySize } = llm.description;
      const ids: TokenId[] = prependBos !== undefined && typeof request.prompt[0] === 'string' ? [prependBos] : [];
      for (const piece of request.prompt) {
        if (typeof piece === 'string') appendTokens(ids, await llm.tokenize(piece, { parseSpecial: true }));
        else appendTokens(ids, piece);
      }
      if (prependBos !== undefined && ids[0] === prependBos && ids[1] === prependBos) ids.shift();
      if (ids.length === 0) throw new DiscedgeError('invalid_request', 'prompt has no tokens', { param: 'prompt' });
      if (ids.some((id) => id >= vocabularySize)) {
        throw new DiscedgeError('invalid_request', `prompt has ids outside the vocabulary of ${vocabularySize}`, {
          param: 'prompt',
        });
      }
      if (ids.length + replyTokens > contextTokens)
        throw overflowError(ids.length + replyTokens, contextTokens, 'error');
      return {
        ids,
        contextStart: 1 as TurnNumber,
        store: async () => undefined,
        kept: () => {},
        discarded: () => {},
      };
    },

    async read() {
      throw new TypeError('client-side turns are not stored');
    },
  };
}

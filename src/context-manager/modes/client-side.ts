import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import { appendTokens, type TokenId } from '../../domain/token-sequence.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { TurnRequest } from '../turn/turn.ts';
import { overflowError } from './context-overflow.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';

/** Context kept by the client: its prompt is used as it is, control tokens and all, and nothing is stored. */
export function clientSideMode(llm: LlmService): Mode {
  return {
    name: 'client-side',

    async build({ request, replyTokens }: BuildInput): Promise<Prompt> {
      return {
        ids: await promptIds(llm, request, replyTokens),
        contextStart: 1 as TurnNumber,
        payload: async () => undefined,
        kept: () => {},
      };
    },

    read: notStored,
    readReply: notStored,
  };
}

async function notStored(): Promise<never> {
  throw new TypeError('turns of client-side sessions are not stored');
}

/** Throws `invalid_request` for a prompt without ids or with ids that the model does not have, and `context_overflow`. */
async function promptIds(llm: LlmService, { prompt }: TurnRequest, replyTokens: number): Promise<TokenId[]> {
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
  const neededTokens = ids.length + replyTokens;
  if (neededTokens > contextTokens) throw overflowError('prompt', { neededTokens, windowTokens: contextTokens });
  return ids;
}

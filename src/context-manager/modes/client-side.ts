import { DiscedgeError } from '../../domain/errors.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type { ChatTemplate } from '../../llm-service/chat-template.ts';
import { isLlmFailure, type LlmService } from '../../llm-service/llm-service.ts';
import type { ForwardRequest } from '../turn/turn.ts';
import { overflowError } from './context-overflow.ts';
import { KnownCalls } from './known-calls.ts';
import { saidMessages } from './said-messages.ts';

/** The least that has to be left for a reply, in ids. */
const REPLY_TOKENS_MIN = 1;

/** A prompt as it goes to the model. */
export interface ForwardedPrompt {
  readonly ids: TokenId[];
  /**
   * The same in words. Texts are the client's own; only ids are asked for, and `undefined` where the LLM Service cannot say
   * them: the reply is worth more than what its client knows already.
   */
  text(): Promise<string | undefined>;
}

/**
 * The prompt of a client that keeps its context itself. Throws `invalid_request` for a prompt without ids or with ids that
 * the model does not have, `context_overflow`, and what the chat template throws.
 */
export async function clientSidePrompt(
  { prompt, preamble }: ForwardRequest,
  { llm, template }: { readonly llm: LlmService; readonly template: ChatTemplate },
): Promise<ForwardedPrompt> {
  const { contextTokens } = llm.description;
  if (preamble !== undefined && !('conversation' in prompt)) {
    throw new DiscedgeError(
      'invalid_request',
      'instructions and tools stand before a conversation, not before a prompt',
    );
  }
  const { ids, pieces } =
    'conversation' in prompt
      ? asConversation(
          await template.renderWhole(saidMessages(prompt.conversation, new KnownCalls()), 'as-template', preamble),
        )
      : await asItIs(prompt, llm);
  if (ids.length + REPLY_TOKENS_MIN > contextTokens) {
    const replyTokens = REPLY_TOKENS_MIN;
    throw overflowError('prompt', { promptTokens: ids.length, replyTokens, windowTokens: contextTokens });
  }
  return { ids, text: () => textOf(pieces, llm) };
}

interface PromptPieces {
  readonly ids: TokenId[];
  readonly pieces: ReadonlyArray<string | TokenSequence>;
}

const asConversation = (ids: TokenId[]): PromptPieces => ({ ids, pieces: [ids] });

/** Control tokens and all. */
async function asItIs(prompt: ReadonlyArray<string | TokenSequence>, llm: LlmService): Promise<PromptPieces> {
  const { prependBos, bosText, vocabularySize } = llm.description;
  const addsBos = prependBos !== undefined && typeof prompt[0] === 'string';
  const ids: TokenId[] = addsBos ? [prependBos] : [];
  for (const piece of prompt) {
    if (typeof piece === 'string') appendTokens(ids, await llm.tokenize(piece, { parseSpecial: true }));
    else appendTokens(ids, piece);
  }
  const hasBos = addsBos && ids[1] === prependBos;
  if (hasBos) ids.shift();
  if (ids.length === 0) throw new DiscedgeError('invalid_request', 'prompt has no tokens', { param: 'prompt' });
  if (ids.some((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize)) {
    throw new DiscedgeError('invalid_request', `prompt has ids outside the vocabulary of ${vocabularySize}`, {
      param: 'prompt',
    });
  }
  return { ids, pieces: addsBos && !hasBos ? [bosText, ...prompt] : prompt };
}

async function textOf(pieces: PromptPieces['pieces'], llm: LlmService): Promise<string | undefined> {
  const said = async (piece: string | TokenSequence) =>
    typeof piece === 'string' ? piece : llm.detokenize(piece, { special: true });
  try {
    const texts: string[] = [];
    for (const piece of pieces) texts.push(await said(piece));
    return texts.join('');
  } catch (error) {
    if (isLlmFailure(error)) return undefined;
    throw error;
  }
}

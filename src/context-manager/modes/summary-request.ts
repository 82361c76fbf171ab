import type { LlmService } from '../../llm-service/llm-service.ts';
import { FixedText } from './fixed-text.ts';

/** What a model is asked that has to make a conversation shorter, and what stands in it from then on before its answer. */
export const SUMMARY_REQUEST =
  'Summarize our conversation up to here, so that it can go on from your summary alone: what was asked for, what was found and decided, names, numbers, and what is still open. Answer with the summary and nothing else.';

const REQUEST = new FixedText(SUMMARY_REQUEST);

/** Of a long window: what is worth remembering of it fits, and so do the bytes into a record. */
const SUMMARY_TOKENS_MAX = 1_024;

/** The longest summary, in ids: an eighth of the window, so that what it makes room for is more than it takes. */
export function summaryTokensMax({ description }: Pick<LlmService, 'description'>): number {
  return Math.max(1, Math.min(SUMMARY_TOKENS_MAX, Math.floor(description.contextTokens / 8)));
}

/** Ids that a summary may come to take with the request before it; what the template writes around them is not counted. */
export async function summaryRoom(llm: Pick<LlmService, 'description' | 'tokenize'>): Promise<number> {
  return (await REQUEST.tokens(llm)) + summaryTokensMax(llm);
}

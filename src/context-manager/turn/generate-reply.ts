import { DiscedgeError } from '../../domain/errors.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { GenerationEnd, LlmService } from '../../llm-service/llm-service.ts';
import type { ReplyOptions, TurnObserver } from './turn.ts';

/**
 * Lets the LLM Service answer a prompt and passes the parts on while the client is there. Throws what `generate` throws,
 * and `llm_bad_reply` for a reply without an end.
 */
export async function generateReply(
  llm: LlmService,
  parts: {
    prompt: TokenSequence;
    maxTokens: number;
    affinity: string | undefined;
    options: ReplyOptions;
    observer: TurnObserver;
    signal: AbortSignal;
  },
): Promise<GenerationEnd> {
  const { prompt, maxTokens, affinity, observer, signal } = parts;
  const { sampling, stop, stream, tell } = parts.options;
  const promptTokens = prompt.length;
  const asked = { prompt, maxTokens, stop, sampling, affinity, stream, tell };
  for await (const event of llm.generate(asked, signal)) {
    if (event.kind === 'end') return event;
    if (observer.gone.aborted) continue;
    if (event.kind === 'part') observer.part({ ...event, parts: textDelta(event.text), promptTokens });
    else observer.progress?.(event);
  }
  throw new DiscedgeError('llm_bad_reply', 'the LLM Service ended its reply without saying how');
}

const textDelta = (text: string) => (text === '' ? [] : [{ index: 0, type: 'text' as const, text }]);

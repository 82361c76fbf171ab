import type { TokenId } from '../../src/domain/token-sequence.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import type { GenerationEvent, GenerationRequest, LlmService } from '../../src/llm-service/llm-service.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';

/** An LLM Service that writes one id an event, as fast as it is read. */
export function fastLlm(): LlmService {
  const scripted = startScripted({}, nodeEnvironment({ logLevel: 'silent', nodeId: 'fast' }));
  return {
    description: scripted.description,
    tokenize: (text, how) => scripted.tokenize(text, how),
    detokenize: (ids, how) => scripted.detokenize(ids, how),
    pieces: (ids) => scripted.pieces(ids),
    slots: () => scripted.slots(),
    async *generate({ prompt, maxTokens }: GenerationRequest): AsyncIterable<GenerationEvent> {
      const ids = new Array<TokenId>(maxTokens).fill(97 as TokenId);
      for (const id of ids) yield { kind: 'part', text: 'a', ids: [id] };
      const usage = {
        cachedTokens: 0,
        evaluatedTokens: prompt.length,
        promptMs: 0,
        predictedTokens: maxTokens,
        predictedMs: 0,
      };
      yield { kind: 'end', ids, text: 'a'.repeat(maxTokens), exact: true, stop: { kind: 'limit' }, usage };
    },
    ready: () => scripted.ready(),
    close: () => scripted.close(),
  };
}

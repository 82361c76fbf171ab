import type { TokenId } from '../../src/domain/token-sequence.ts';
import type { Environment } from '../../src/environment/environment.ts';
import type { GenerationEvent, GenerationRequest, LlmService } from '../../src/llm-service/llm-service.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';

/**
 * An LLM Service that costs next to nothing and never looks at its prompt: every reply is the same 128 ids in one part.
 * What a turn takes with it is what the Context Manager, the store and HTTP take.
 */
export function constantLlm(environment: Environment, replyTokens = 128): LlmService {
  const scripted = startScripted({ modelName: 'constant' }, environment);
  const text = 'reply '.repeat(Math.ceil(replyTokens / 6)).slice(0, replyTokens - 1);
  const endToken = [...scripted.description.endOfGeneration][0] as TokenId;
  const ids = [...([...Buffer.from(text)] as TokenId[]), endToken];
  return {
    description: scripted.description,
    tokenize: (content, how) => scripted.tokenize(content, how),
    detokenize: (tokens, how) => scripted.detokenize(tokens, how),
    pieces: (tokens) => scripted.pieces(tokens),
    slots: () => scripted.slots(),
    async *generate({ prompt }: GenerationRequest): AsyncIterable<GenerationEvent> {
      yield { kind: 'part', text, ids };
      yield {
        kind: 'end',
        ids,
        text,
        exact: true,
        stop: { kind: 'end' },
        usage: {
          cachedTokens: 0,
          evaluatedTokens: prompt.length,
          promptMs: 0,
          predictedTokens: ids.length,
          predictedMs: 0,
        },
      };
    },
    ready: () => scripted.ready(),
    close: () => scripted.close(),
  };
}

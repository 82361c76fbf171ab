import type { Clock } from 'discedge/internal/environment/environment';
import type { LlmService } from 'discedge/internal/llm-service/llm-service';

/**
 * An LLM Service whose tokenizer takes at least the time that one of `idsPerS` ids a second would take, one text after the
 * other. Ids are the same, and nothing else is slower; the processor is free meanwhile, which a real tokenizer would use.
 */
export function withSlowTokenizer(llm: LlmService, idsPerS: number, clock: Clock): LlmService {
  let freeAtMs = 0;
  return {
    description: llm.description,
    async tokenize(text, options) {
      const calledMs = clock.monotonic();
      const ids = await llm.tokenize(text, options);
      freeAtMs = Math.max(freeAtMs, calledMs) + (ids.length * 1000) / idsPerS;
      const leftMs = freeAtMs - clock.monotonic();
      if (leftMs > 0) await new Promise<void>((resolve) => clock.after(leftMs, resolve));
      return ids;
    },
    detokenize: (ids, how) => llm.detokenize(ids, how),
    pieces: (ids) => llm.pieces(ids),
    slots: () => llm.slots(),
    generate: (request, signal) => llm.generate(request, signal),
    ready: () => llm.ready(),
    close: () => llm.close(),
  };
}

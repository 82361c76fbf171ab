import { DiscedgeError } from '../../domain/errors.ts';
import type { GenerationRequest } from '../llm-service.ts';

/** Fields of `/completion` that are ours to set, and others under which a reply is not one reply any more. */
const OWN_FIELDS = new Set([
  'prompt',
  'model',
  'stream',
  'stop',
  'n_predict',
  'max_tokens',
  'max_completion_tokens',
  'cache_prompt',
  'return_tokens',
  'return_progress',
  'timings_per_token',
  'response_fields',
]);
/** Several replies to one prompt. */
const COUNT_FIELDS = ['n', 'n_cmpl'];
/** As JSON writes it; a text that spells this out looks like one as well. */
const LONE_SURROGATE = /\\ud[89a-f]/;

/**
 * The JSON text of a `/completion` request. `slot` is asked for unless the caller names one itself (`id_slot`).
 * Throws `unsupported_parameter`.
 */
export function completionBody(
  { prompt, stop, sampling, stream, tell }: GenerationRequest,
  { maxTokens, slot }: { readonly maxTokens: number; readonly slot: number | undefined },
): string {
  for (const name of COUNT_FIELDS) {
    if (sampling[name] !== undefined && sampling[name] !== 1) {
      throw new DiscedgeError('unsupported_parameter', `${name}: one reply per turn.`, { param: name });
    }
  }
  const rest = {
    ...(slot === undefined ? {} : { id_slot: slot }),
    ...Object.fromEntries(Object.entries(sampling).filter(([name]) => !OWN_FIELDS.has(name))),
    stop,
    n_predict: maxTokens,
    stream,
    cache_prompt: true,
    return_tokens: true,
    // Events while the prompt is evaluated: a long one is not mistaken for a server that hangs.
    return_progress: stream,
    timings_per_token: stream && tell?.usage === true,
  };
  return `{"prompt":${JSON.stringify(prompt)},${wellFormedJson(rest).slice(1)}`;
}

/** The server refuses a whole body for one lone surrogate. There hardly ever is one, and looking at each value takes longer than writing them all. */
function wellFormedJson(value: object): string {
  const text = JSON.stringify(value);
  if (!LONE_SURROGATE.test(text)) return text;
  return JSON.stringify(value, (_, inner) => (typeof inner === 'string' ? inner.toWellFormed() : inner));
}

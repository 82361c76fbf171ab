// Tries to let a caller's sampling parameters change what DisCEdge relies on in a llama-server request.
import { expect, test } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { completionBody } from '../../../src/llm-service/llama-server/completion-request.ts';
import type { GenerationRequest } from '../../../src/llm-service/llm-service.ts';

const request = (fields: Partial<GenerationRequest> = {}): GenerationRequest => ({
  prompt: [1, 2, 3] as TokenId[],
  maxTokens: 7,
  stop: ['end'],
  sampling: {},
  affinity: undefined,
  stream: true,
  ...fields,
});
const body = (fields: Partial<GenerationRequest>, slot?: number) =>
  JSON.parse(completionBody(request(fields), { maxTokens: 7, slot }));

test('sampling parameters pass through under their own names', () => {
  const sampling = { temperature: 0.5, logit_bias: [[5, false]], grammar: 'root ::= "a"', n_probs: 3, n: 1 };
  expect(body({ sampling })).toMatchObject(sampling);
});

test('the fields that exactness rests on cannot be overridden', () => {
  const ours = body({}, 1);
  const sampling = {
    prompt: 'text',
    stream: false,
    stop: [],
    n_predict: -1,
    max_tokens: -1,
    cache_prompt: false,
    return_tokens: false,
    return_progress: false,
    timings_per_token: false,
    response_fields: ['content'],
    model: 'other',
  };
  expect(body({ sampling }, 1)).toEqual(ours);
  expect(ours).toEqual({
    prompt: [1, 2, 3],
    id_slot: 1,
    stop: ['end'],
    n_predict: 7,
    stream: true,
    cache_prompt: true,
    return_tokens: true,
    return_progress: true,
    timings_per_token: false,
  });
});

test('a slot is asked for only where there is one, and a caller may name another', () => {
  expect(body({})).not.toHaveProperty('id_slot');
  expect(body({ sampling: { id_slot: 5 } }, 1).id_slot).toBe(5);
});

test('lone surrogates in parameters do not make the body unreadable for the server', () => {
  const text = completionBody(request({ stop: ['a\ud800'], sampling: { grammar: '\udc00' } }), {
    maxTokens: 1,
    slot: undefined,
  });
  expect(text).not.toMatch(/\\u/i);
  expect(JSON.parse(text)).toMatchObject({ stop: ['a\ufffd'], grammar: '\ufffd' });
});

test('several replies to one prompt are refused', () => {
  for (const name of ['n', 'n_cmpl']) {
    expect(() => body({ sampling: { [name]: 2 } })).toThrow(
      expect.objectContaining({ code: 'unsupported_parameter', param: name }),
    );
  }
});

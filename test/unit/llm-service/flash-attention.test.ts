import { expect, test } from 'vitest';
import { flashAttentionFor } from '../../../src/llm-service/embedded/flash-attention.ts';

test.each([
  ['auto', false, false],
  ['auto', 'cuda', 'auto'],
  ['on', false, true],
  ['on', 'metal', true],
  ['off', false, false],
  ['off', 'vulkan', false],
] as const)('flash attention %s, computed by %s: llama.cpp is told %s', (asked, gpu, told) => {
  expect(flashAttentionFor(asked, gpu)).toBe(told);
});

// Names of model files as they are met: the same model must have one name, two models two.
import { expect, it } from 'vitest';
import { modelNameFromFile } from '../../../src/llm-service/model-name.ts';

it.each([
  ['/models/demo.gguf', 'demo'],
  ['C:\\models\\qwen1_5-0_5b-chat-q8_0.gguf', 'qwen1_5-0_5b-chat'],
  ['Qwen3-4B-Instruct-2507-UD-Q4_K_XL.gguf', 'Qwen3-4B-Instruct-2507'],
  ['Meta-Llama-3.1-8B-Instruct.IQ2_XS.gguf', 'Meta-Llama-3.1-8B-Instruct'],
  ['Llama-3.3-70B-Instruct-Q8_0-00001-of-00002.gguf', 'Llama-3.3-70B-Instruct'],
  ['gpt-oss-20b-mxfp4.gguf', 'gpt-oss-20b'],
  ['phi-2-F16.GGUF', 'phi-2'],
  ['gemma-2b', 'gemma-2b'],
  ['an-alias', 'an-alias'],
  ['Q8_0.gguf', 'Q8_0'],
  ['', 'model'],
])('%s is %s', (path, name) => {
  expect(modelNameFromFile(path)).toBe(name);
});

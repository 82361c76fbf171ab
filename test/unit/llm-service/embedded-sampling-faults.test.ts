// Asks the embedded service for what llama.cpp's sampler throws at: grammars that have ended while the reply may not, that
// allow only what no token spells, whose words are all forbidden. What the sampler throws must reach the one who asked,
// and nobody else: an unhandled rejection ends the process, and with it everyone's replies.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TokenSequence } from '../../../src/domain/token-sequence.ts';
import { nodeEnvironment } from '../../../src/environment/node-environment.ts';
import { startEmbedded } from '../../../src/llm-service/embedded.ts';
import type { GenerationEnd, LlmService } from '../../../src/llm-service/llm-service.ts';

const modelPath = fileURLToPath(new URL('../../../models/demo/demo.gguf', import.meta.url));
let service: LlmService;
let prompt: TokenSequence;
beforeAll(async () => {
  const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
  service = await startEmbedded({ modelPath, contextTokens: 512 }, environment);
  prompt = await service.tokenize('My name is Ada.', { parseSpecial: false });
});
afterAll(() => service.close());

async function generate(sampling: Readonly<Record<string, unknown>>, maxTokens = 24): Promise<GenerationEnd> {
  const request = { prompt, maxTokens, stop: [], sampling: { temperature: 0, ...sampling }, affinity: undefined };
  for await (const event of service.generate({ ...request, stream: true }, new AbortController().signal))
    if (event.kind === 'end') return event;
  throw new Error('no end');
}

const never = async (...words: readonly string[]) =>
  (await Promise.all(words.map((word) => service.tokenize(word, { parseSpecial: false }))))
    .flat()
    .map((id) => [id, false]);

const HOPELESS: ReadonlyArray<readonly [string, () => Promise<Record<string, unknown>>]> = [
  ['a grammar that ends while the reply may not', async () => ({ grammar: 'root ::= "a"', ignore_eos: true })],
  ['a grammar of a character that no token has', async () => ({ grammar: 'root ::= "\\x00"' })],
  [
    'a grammar whose words are forbidden',
    async () => ({ grammar: 'root ::= "yes" | "no"', logit_bias: await never('yes', 'no', 'y', 'n', 'ye', 'es', 'o') }),
  ],
];

it.each(HOPELESS)('%s is the request that fails, not the process', async (_name, samplingOf) => {
  const sampling = await samplingOf();
  const others = [generate({ ignore_eos: true }), generate({ ignore_eos: true })];
  await expect(generate(sampling)).rejects.toMatchObject({ code: 'invalid_request', param: 'grammar' });
  for (const other of await Promise.all(others)) expect(other.ids).toHaveLength(24);
  // All four sequences can be used again, and hold nothing of what failed.
  const again = await Promise.all(Array.from({ length: 4 }, () => generate({ ignore_eos: true })));
  expect(new Set(again.map(({ ids }) => ids.join()))).toHaveProperty('size', 1);
});

it('many of them at once leave the service as it was', async () => {
  const expected = await generate({ ignore_eos: true });
  const failing = Array.from({ length: 12 }, () => generate({ grammar: 'root ::= "a"', ignore_eos: true }));
  const outcomes = await Promise.allSettled(failing);
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
  expect((await generate({ ignore_eos: true })).ids).toEqual(expected.ids);
  await service.ready();
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startEmbedded } from '../../src/llm-service/embedded.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';

let service: LlmService;
beforeAll(async () => {
  const size = { contextTokens: 2048, parallel: 4, threads: 1 };
  service = await startEmbedded(
    { modelPath: DEMO_MODEL_PATH, ...size },
    nodeEnvironment({ logLevel: 'silent', nodeId: 'e1' }),
  );
});
afterAll(() => service.close());

/** `onId` is called with each id. */
async function reply(user: string, tokens: { prompt: number; reply: number }, onId = () => {}): Promise<void> {
  const prompt = Array.from({ length: tokens.prompt }, (_, i) => (300 + i) as TokenId);
  const asked = { prompt, maxTokens: tokens.reply, stop: [], stream: true, affinity: `${user}\n1`, owner: user };
  const never = new AbortController().signal;
  for await (const event of service.generate({ ...asked, sampling: { temperature: 0, ignore_eos: true } }, never)) {
    if (event.kind === 'part') onId();
  }
}

it('a turn that comes while others are replied to is replied to beside them', async () => {
  const counts = [0, 0, 0];
  const long = { prompt: 8, reply: 1500 };
  const replies = counts.map((_, i) =>
    reply(`u${i}`, long, () => {
      counts[i] = (counts[i] ?? 0) + 1;
    }),
  );
  await expect.poll(() => Math.min(...counts)).toBeGreaterThan(20);
  let before: number[] | undefined;
  await reply('late', { prompt: 200, reply: 40 }, () => {
    before ??= [...counts];
  });
  // They have gone on, each by about as many ids, and are far from their ends.
  for (const [i, count] of counts.entries()) {
    expect(count - (before?.[i] ?? 0)).toBeGreaterThan(10);
    expect(count).toBeLessThan(1400);
  }
  await Promise.all(replies);
});

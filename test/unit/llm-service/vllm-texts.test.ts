// Texts and ids where vLLM itself tokenizes. Tries to have the ids of another tokenizer in its place kept, and a request that names many
// ids open as many connections.
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { PieceTokenizer } from '../../../src/llm-service/chat-template/compose/piece-tokenizer.ts';
import type { LlmService } from '../../../src/llm-service/llm-service.ts';
import { json, type VllmDouble } from '../../../tools/vllm-double/vllm-double.ts';
import { expectError, GENERATE, generate, VllmRig } from '../../support/vllm-rig.ts';

let rig: VllmRig;

beforeEach(() => {
  rig = new VllmRig();
});
afterEach(() => rig.close());

describe('another tokenizer under the same name', () => {
  /** As a server with another vocabulary answers; `back` has the first one return. */
  function replace(double: VllmDouble): { back(): void } {
    double.answers.tokenize = (_, response) => json(response, { tokens: [7, 7, 7], token_strs: ['x', 'x', 'x'] });
    double.answers.detokenize = (_, response) => json(response, { prompt: 'foreign' });
    return {
      back() {
        delete double.answers.tokenize;
        delete double.answers.detokenize;
      },
    };
  }

  it('never has its ids kept for prompts: an idle server is looked at before it tokenizes', async () => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    const create = () => PieceTokenizer.create((text, how) => service.tokenize(text, how));
    const [pieces, expected] = [await create(), await (await create()).seam('<|im_start|>user\n', 'start')];
    await rig.environment.advance(5_000);
    const other = replace(double);
    const told = () => double.seen.filter(({ body }) => String(body.prompt).startsWith('<|im_start|>user\n')).length;
    const before = told();
    await expectError('llm_unavailable', /another model/, pieces.seam('<|im_start|>user\n', 'start'));
    expect(told()).toBe(before);
    other.back();
    expect(await pieces.seam('<|im_start|>user\n', 'start')).toEqual(expected);
  });

  it.each([
    ['tokenize', (service: LlmService) => service.tokenize('Hello', { parseSpecial: false })],
    ['detokenize', (service: LlmService) => service.detokenize([72 as TokenId])],
    ['pieces', (service: LlmService) => service.pieces([72, 200] as TokenId[])],
  ] as const)('%s is refused while it is there, and gives what is right once the first is back', async (_, ask) => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    const expected = await ask(await rig.connect(double));
    await rig.environment.advance(5_000);
    const other = replace(double);
    await expectError('llm_unavailable', /another model/, ask(service));
    other.back();
    expect(await ask(service)).toEqual(expected);
  });

  it.each([
    ['tokenize', (service: LlmService) => service.tokenize('Hello', { parseSpecial: false })],
    ['detokenize', (service: LlmService) => service.detokenize([72 as TokenId])],
  ] as const)('%s that took longer than a start of vLLM is not believed, and forgotten', async (path, ask) => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    const expected = await ask(await rig.connect(double));
    let other: { back(): void } | undefined;
    double.answers[path] = async (request, response, usual) => {
      await rig.environment.advance(5_000);
      other = replace(double);
      await double.answers[path]?.(request, response, usual);
    };
    await expectError('llm_unavailable', /another model/, ask(service));
    other?.back();
    expect(await ask(service)).toEqual(expected);
  });

  it('is looked for once by all who ask at a time', async () => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    await rig.environment.advance(5_000);
    const looks = () => double.seen.filter(({ path }) => path === 'v1/models').length;
    const before = looks();
    await Promise.all(['a', 'b', 'c'].map((text) => service.tokenize(text, { parseSpecial: false })));
    expect(looks()).toBe(before + 1);
  });
});

describe('the probabilities of a reply', () => {
  const IDS = [65, 66, 67, 68, 69, 70, 71, 72];
  /** Twenty of each id, none twice. */
  const tops = IDS.map((_, i) =>
    Object.fromEntries(Array.from({ length: 20 }, (_, j) => [`token_id:${i * 20 + j}`, -j])),
  );
  const logprobs = { tokens: IDS.map(String), token_logprobs: IDS.map(() => -1), top_logprobs: tops };
  const usage = { prompt_tokens: 1, completion_tokens: 8, prompt_tokens_details: { cached_tokens: 0 } };
  const asked = { prompt: [5 as TokenId], sampling: { n_probs: 20 }, stream: false };

  async function startTelling() {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    const choices = [{ index: 0, text: 'ABCDEFGH', token_ids: IDS, finish_reason: 'length', logprobs }];
    double.answers['v1/completions'] = (_, response) => json(response, { choices, usage });
    return { double, service };
  }

  it('name hundreds of ids, whose texts are asked for a few at a time', async () => {
    const { double, service } = await startTelling();
    let open = 0;
    let most = 0;
    double.answers.detokenize = async (_, __, usual) => {
      most = Math.max(most, ++open);
      for (let turn = 0; turn < 20; turn++) await setImmediate();
      open--;
      await usual();
    };
    const ends = await Promise.all([generate(service, asked), generate(service, asked)]);
    for (const { fields } of ends) expect(fields?.completion_probabilities).toHaveLength(IDS.length);
    expect(double.seen.filter(({ path }) => path === 'detokenize').length).toBeGreaterThan(100);
    expect(most).toBe(16);
  });

  it('are asked for no further once nobody wants them', async () => {
    const { double, service } = await startTelling();
    const gone = new AbortController();
    double.answers.detokenize = async (_, __, usual) => {
      gone.abort(new Error('gone'));
      await usual();
    };
    await expect(generate(service, asked, gone.signal)).rejects.toThrow('gone');
    await service.detokenize([200 as TokenId]);
    expect(double.seen.filter(({ path }) => path === 'detokenize').length).toBeLessThan(20);
  });
});

it('a bias of a text is one of its ids', async () => {
  const double = await rig.startDouble();
  const service = await rig.connect(double);
  const [id] = await service.tokenize('A', { parseSpecial: false });
  await generate(service, { sampling: { logit_bias: [['A', 3]] } });
  expect(double.seen.findLast(({ path }) => path === GENERATE)?.body.sampling_params).toMatchObject({
    logit_bias: { [id as number]: 3 },
  });
});

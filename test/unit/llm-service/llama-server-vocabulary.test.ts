// A server that tells its vocabulary, in part, wrongly, late or not at all: tries to have a stored text read wrongly, to need
// the server for what is known, and to ask it for ever for what it does not tell.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { Vocabulary } from '../../../src/llm-service/llama-server/vocabulary.ts';
import { connectLlamaServer } from '../../../src/llm-service/llama-server.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import {
  type Answer,
  DOUBLE_END,
  DOUBLE_VOCABULARY,
  final,
  json,
  type LlamaServerDouble,
  startLlamaServerDouble,
} from '../../support/llama-server-double.ts';

const ids = (text: string) => [...Buffer.from(text)] as TokenId[];

interface Candidate {
  readonly id: number;
  readonly bytes: readonly number[];
}

/** Bytes, and control tokens above them, in an order of its own. */
const everyId: readonly Candidate[] = Array.from({ length: DOUBLE_VOCABULARY }, (_, at) => {
  const id = DOUBLE_VOCABULARY - 1 - at;
  return { id, bytes: id < 256 ? [id] : [] };
});

const telling =
  (candidates: readonly Candidate[]): Answer =>
  (request, response) => {
    const probabilities = [{ id: 0, bytes: [0], top_logprobs: candidates.map((one) => ({ ...one, logprob: -1 })) }];
    const end = { content: 'o', tokens: [111], completion_probabilities: probabilities };
    const prompt = request.body.prompt as unknown[];
    json(final(prompt.length, 1, { ...end, stop_type: 'limit' }))(request, response);
  };

describe('a vocabulary', () => {
  it('says what ids say, half characters included', () => {
    const vocabulary = Vocabulary.of(everyId as never);
    expect(vocabulary?.size).toBe(DOUBLE_VOCABULARY);
    expect(vocabulary?.textOf([...ids('déjà 🚗'), DOUBLE_END as TokenId])).toBe('déjà 🚗');
    expect(vocabulary?.textOf(ids('🚗').slice(0, 2))).toBe('\ufffd');
    expect(vocabulary?.textOf([0 as TokenId])).toBe('\0');
    expect(vocabulary?.textOf([])).toBe('');
  });

  it.each([
    ['without one', everyId.filter(({ id }) => id !== 101)],
    ['without the first', everyId.slice(0, -1)],
    ['with one twice', [...everyId.slice(1), everyId[1] as Candidate]],
    ['with one far outside', [...everyId.slice(1), { id: 4_000_000_000, bytes: [] }]],
  ])('%s is none', (_, candidates) => {
    expect(Vocabulary.of(candidates as never)).toBeUndefined();
  });
});

describe('a llama-server', () => {
  let double: LlamaServerDouble;
  let environment: VirtualEnvironment;
  const connect = () =>
    connectLlamaServer({ url: double.url, connectTimeoutMs: 2_000, idleTimeoutMs: 30_000 }, environment);
  const warned = (event: string) => environment.logLines.filter((line) => line.event === event).length;

  beforeEach(async () => {
    double = await startLlamaServerDouble();
    environment = virtualEnvironment();
  });
  afterEach(async () => {
    await double.stop();
    expect(environment.pendingTimers).toBe(0);
  });

  it('that tells it is not asked for texts, and may go', async () => {
    double.answers.completion = telling(everyId);
    const service = await connect();
    double.answers.detokenize = json({ error: { code: 500, message: 'asked' } }, 500);
    expect(await service.detokenize([...ids('hello'), DOUBLE_END as TokenId])).toBe('hello');
    await double.stop();
    expect(await service.detokenize(ids('naïve'))).toBe('naïve');
    await expect(service.detokenize([DOUBLE_VOCABULARY as TokenId])).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(service.tokenize('x', { parseSpecial: false })).rejects.toMatchObject({ code: 'llm_unavailable' });
    await service.close();
    await expect(service.detokenize(ids('x'))).rejects.toMatchObject({ code: 'llm_unavailable' });
  });

  it.each<[string, Answer]>([
    ['does not tell', json(final(1, 1, { content: 'o', tokens: [111], stop_type: 'limit' }))],
    ['tells a part', telling(everyId.slice(0, 10))],
    [
      'spells out control tokens',
      telling(everyId.map((one) => (one.id === DOUBLE_END ? { ...one, bytes: [60] } : one))),
    ],
    ['tells another one', telling(everyId.map((one) => (one.id === 101 ? { ...one, bytes: [102] } : one)))],
    ['refuses', json({ error: { code: 400, message: 'n_probs is too large', type: 'invalid_request_error' } }, 400)],
  ])('that %s is asked for each text, and for it no more', async (_, answer) => {
    let completions = 0;
    double.answers.completion = (request, response) => {
      completions++;
      answer(request, response);
    };
    const service = await connect();
    for (const text of ['hello', 'again']) expect(await service.detokenize(ids(text))).toBe(text);
    expect(completions).toBe(1);
    expect(warned('llama_server_tells_no_vocabulary')).toBe(1);
    await service.close();
  });

  it('that is too busy to tell does not hold up the start, and tells later', async () => {
    let release = () => {};
    double.answers.completion = (request, response) => {
      release = () => telling(everyId)(request, response);
    };
    const asked = double.next('completion');
    const connecting = connect();
    await asked;
    await environment.advance(5_000);
    const service = await connecting;
    expect(await service.detokenize(ids('hello'))).toBe('hello');
    release();
    await expect.poll(() => textsAsked(service)).toBe(0);
    await service.close();
  });

  it('that fails to tell is asked again with the next text', async () => {
    double.answers.completion = json({ error: { code: 503, message: 'Loading model' } }, 503);
    const service = await connect();
    double.answers.completion = telling(everyId);
    expect(await service.detokenize(ids('hello'))).toBe('hello');
    await expect.poll(() => textsAsked(service)).toBe(0);
    expect(warned('llama_server_tells_no_vocabulary')).toBe(0);
    await service.close();
  });

  /** How many texts the server is asked for, for one that is read. */
  async function textsAsked(service: Awaited<ReturnType<typeof connect>>): Promise<number> {
    const usual = double.answers.detokenize as Answer;
    let asked = 0;
    double.answers.detokenize = (request, response) => {
      asked++;
      usual(request, response);
    };
    await service.detokenize(ids('x'));
    double.answers.detokenize = usual;
    return asked;
  }
});

// In front of a real llama-server, with its tokenizer in a process of the node's: tries to have it give other ids than the server
// does, to have it used with another model's vocabulary or none, and to lose a turn with the process.
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { launchEngine, VOCABULARY_PROGRAM } from '../../src/edge-node/engine-process/launch-engine.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { startEngineProcess } from '../../src/llm-service/engine-process.ts';
import type { TokenizerFile } from '../../src/llm-service/llama-server/local-tokenizer.ts';
import { connectLlamaServer } from '../../src/llm-service/llama-server.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { qwen2VocabularyFile } from '../../tools/qwen2-vocabulary.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { startTestNode } from '../../tools/test-node.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';

let server: RunningServer;
let environment: ReturnType<typeof virtualEnvironment>;
const open: LlmService[] = [];
let tokenizerProcess: LlmService | undefined;

beforeAll(async () => {
  server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: 512, slots: 2 });
});
afterAll(() => server.stop());
afterEach(async () => {
  for (const service of open.splice(0)) await service.close();
});

async function connect(file?: TokenizerFile): Promise<LlmService> {
  environment = virtualEnvironment();
  const start = async (path: string) => {
    tokenizerProcess = await startEngineProcess(() => launchEngine(VOCABULARY_PROGRAM, { path }), environment);
    return tokenizerProcess;
  };
  const localTokenizer = file && { file, start };
  const options = { url: server.url, connectTimeoutMs: 5_000, idleTimeoutMs: 60_000, localTokenizer };
  const service = await connectLlamaServer(options, environment);
  open.push(service);
  return service;
}

const warnings = () => environment.logLines.filter(({ event }) => event === 'llama_server_tokenizes_alone');

describe('a tokenizer of its own', () => {
  test('gives the ids that llama-server gives, whatever the text', async () => {
    const there = await connect();
    const here = await connect({ toldBy: 'llama-server' });
    expect(there.tokenizer).toBe('llama-server');
    expect(here.tokenizer).toBe(`here, with ${DEMO_MODEL_PATH}`);
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('<|im_end|>', '<|im_start|>user\n', 'apples ', '  ', '\n\n', '\u0000', '\ud800'),
    );
    const text = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''));
    await fc.assert(
      fc.asyncProperty(text, fc.boolean(), async (content, parseSpecial) => {
        expect(await here.tokenize(content, { parseSpecial })).toEqual(await there.tokenize(content, { parseSpecial }));
      }),
      { numRuns: 200 },
    );
  });

  test('that dies leaves the text to llama-server', async () => {
    const service = await connect({ path: DEMO_MODEL_PATH });
    const ids = await service.tokenize('My name is Ada.', { parseSpecial: false });
    const pid = tokenizerProcess?.process?.pid as number;
    const texts = Array.from({ length: 20 }, () => service.tokenize('My name is Ada.', { parseSpecial: false }));
    process.kill(pid, 'SIGKILL');
    expect(await Promise.all(texts)).toEqual(texts.map(() => ids));
    expect(await service.tokenize('My name is Ada.', { parseSpecial: false })).toEqual(ids);
  });

  test.each([
    ['of another model', () => qwen2VocabularyFile(), 'tokenizes otherwise'],
    ['that is not there', async () => '/nowhere/model.gguf', 'cannot be read here'],
    ['that is none', async () => import.meta.filename, 'is not a GGUF file'],
  ])('from a file %s is not used, and the operator is told', async (_, file, why) => {
    const service = await connect({ path: await file() });
    expect(service.tokenizer).toBe('llama-server');
    expect(warnings()).toMatchObject([{ error: { message: expect.stringContaining(why) } }]);
    expect(await service.tokenize('My name is Ada.', { parseSpecial: false })).not.toEqual([]);
  });
});

test('a node says who tokenizes, and its prompts are as long either way', async () => {
  const lengths: number[][] = [];
  for (const llmTokenizer of ['told', 'server']) {
    const node = await startTestNode({ llm: server.url, llmTokenizer });
    try {
      const { body: props } = await node.get('/props');
      expect(props.tokenizer).toBe(llmTokenizer === 'told' ? `here, with ${DEMO_MODEL_PATH}` : 'llama-server');
      expect(node.node.description.models[0]?.llmName).toContain(`tokenizer: ${props.tokenizer}`);
      const evaluated: number[] = [];
      for (const turn of [1, 2]) {
        const prompt = `My name is Ada <|im_end|> ${turn}.`;
        const reply = await node.turn({ session_id: 's', turn, prompt, temperature: 0, n_predict: 8 });
        evaluated.push(reply.tokens_evaluated);
      }
      lengths.push(evaluated);
    } finally {
      await node.close();
    }
  }
  expect(lengths[0]).toEqual(lengths[1]);
});

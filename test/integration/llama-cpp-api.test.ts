// llama.cpp's own server tests as requests, sent to a stock llama-server and to this node, embedded and in front of a
// llama-server. docs/llama-cpp-api.md is the table of what differs; a difference that nobody decided on is a fault, and so is a
// decision about none.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { startTestNode } from '../../tools/test-node.ts';
import { CASES, KEY } from './llama-cpp-api/cases.ts';
import { GENERAL_DECISIONS } from './llama-cpp-api/decisions.ts';
import { type CaseResult, differencesOf, documentOf } from './llama-cpp-api/document.ts';
import { observe } from './llama-cpp-api/observe.ts';

const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));
const CONTEXT_TOKENS = 1_024;
const SLOTS = 2;

const closing: Array<() => Promise<unknown>> = [];
const results: CaseResult[] = [];

async function llamaServer(...extraArgs: string[]): Promise<string> {
  const common = ['--alias', 'demo', ...extraArgs];
  const server = await startLlamaServer({ modelPath, contextTokens: CONTEXT_TOKENS, slots: SLOTS, extraArgs: common });
  closing.push(() => server.stop());
  return server.url;
}

async function node(flags: Record<string, unknown>): Promise<string> {
  const started = await startTestNode({ mode: 'client-side', replyTokensMax: 4_096, ...flags });
  closing.unshift(() => started.close());
  return started.url;
}

beforeAll(async () => {
  const stock = await llamaServer();
  const keyed = await llamaServer('--api-key', KEY);
  const model = { modelName: 'demo', contextTokens: CONTEXT_TOKENS, parallel: SLOTS };
  const embedded = await node({ llm: undefined, model: modelPath, ...model });
  const inFront = await node({ llm: await llamaServer() });
  for (const asked of CASES) {
    const observed = {
      stock: await observe(asked.keyed ? keyed : stock, asked),
      embedded: await observe(embedded, asked),
      inFront: await observe(inFront, asked),
    };
    const unseen = (asked.only ?? []).filter((field) => Object.values(observed).every((seen) => !seen.has(field)));
    results.push({ asked, differences: differencesOf(observed), unseen });
  }
});
afterAll(async () => {
  for (const close of closing) await close();
});

test.each(CASES.map(({ name }) => name))('%s: what differs has been decided, and what was decided differs', (name) => {
  const { asked, differences, unseen } = results.find((result) => result.asked.name === name) as CaseResult;
  expect(unseen).toEqual([]);
  const own = differences.filter(({ field }) => GENERAL_DECISIONS.every(({ fields }) => !fields.test(field)));
  const decided = Object.keys(asked.decisions ?? {});
  expect(own.map(({ field, ...sides }) => ({ field, ...sides, decided: decided.includes(field) }))).toEqual(
    own.filter(({ field }) => decided.includes(field)).map((difference) => ({ ...difference, decided: true })),
  );
  expect(own.map(({ field }) => field).sort()).toEqual(decided.sort());
});

test('each decision for all cases has something to decide', () => {
  const fields = results.flatMap(({ differences }) => differences.map(({ field }) => field));
  for (const decision of GENERAL_DECISIONS)
    expect(
      fields.filter((field) => decision.fields.test(field)),
      decision.why,
    ).not.toEqual([]);
});

test('docs/llama-cpp-api.md is what was seen (npx vitest run --project full test/integration/llama-cpp-api.test.ts -u)', async () => {
  await expect(documentOf(results)).toMatchFileSnapshot('../../docs/llama-cpp-api.md');
});

// Replies held to their form by real engines, the demo model embedded and behind a stock llama-server: under templates with the
// traits of each model family that tells of tools, calls that have to come are calls that can be read, of the tools asked for,
// with arguments that keep to their schema, also id by id; calls of strict tools that may come do so where they come, behind any text;
// and a format is JSON that keeps to its schema.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ReplyReading } from '../../src/context-manager/turn/reply/reply-reader.ts';
import type { ToolDefinition } from '../../src/domain/record/preamble.ts';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { compileChatTemplate, ReplyParser } from '../../src/llm-service/chat-template.ts';
import { startEmbedded } from '../../src/llm-service/embedded.ts';
import { connectLlamaServer } from '../../src/llm-service/llama-server.ts';
import type { GenerationEnd, LlmService } from '../../src/llm-service/llm-service.ts';
import { callGrammar, formatGrammar, strictGrammar } from '../../src/llm-service/reply-grammar.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { FAMILIES } from '../support/chat-templates/families.ts';

const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const TOOLS: readonly ToolDefinition[] = [
  {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { enum: ['Paris', 'Rome'] } }, required: ['city'] },
  },
  {
    name: 'hours',
    parameters: {
      type: 'object',
      properties: { count: { type: 'integer', minimum: 0, maximum: 9 } },
      required: ['count'],
    },
  },
];
const CALLING = FAMILIES.filter(({ name }) =>
  ['hermes-3-tools', 'qwen3', 'llama-3-1', 'mistral-nemo', 'mistral-small', 'gpt-oss', 'glm-4-6'].includes(name),
);

async function answered(llm: LlmService, prompt: readonly TokenId[], grammar: string) {
  const asked = { prompt, maxTokens: 160, stop: [], affinity: undefined, stream: true };
  const sampling = { grammar, temperature: 1, seed: 7 };
  const pieces: { text: string; ids: readonly TokenId[] }[] = [];
  let end: GenerationEnd | undefined;
  for await (const event of llm.generate({ ...asked, sampling }, new AbortController().signal)) {
    if (event.kind === 'part') pieces.push(event);
    if (event.kind === 'end') end = event;
  }
  if (end === undefined) throw new Error('no end');
  return { pieces, end };
}

function holds(service: () => LlmService): void {
  test.each(CALLING.map((family) => [family.name, family] as const))('%s', async (_, { source }) => {
    const llm = service();
    const described = { ...llm.description, chatTemplate: source };
    const template = await compileChatTemplate(described, llm.tokenize.bind(llm), environment.clock);
    const preamble = await template.preamble({ instructions: undefined, tools: TOOLS });
    const { ids: prompt } = await template.openSession([{ role: 'user', content: 'Weather?' }], preamble);
    const reading = new ReplyReading(llm, template);
    if (template.calls === undefined) throw new Error('no calls');
    for (const tools of [TOOLS, TOOLS.slice(1)]) {
      const names = new Set(tools.map(({ name }) => name));
      let calls = 0;
      const reader = await reading.reader({ prompt, tools: names, newCallId: () => `call_${calls++}` });
      const grammar = callGrammar(tools, template.calls, { several: false, begun: reader.begun });
      const { pieces, end } = await answered(llm, prompt, grammar);
      for (const piece of pieces) await reader.push(piece);
      const { parts, calls: marks } = await reader.end(end.ids);
      const call = parts.at(-1);
      if (call?.type !== 'tool-call') throw new Error(`no call in ${JSON.stringify(end.text)}`);
      expect(names).toContain(call.name);
      const given = JSON.parse(call.arguments);
      if (call.name === 'weather') expect(['Paris', 'Rome', '"Paris"', '"Rome"']).toContain(given.city);
      else expect(Number(given.count)).toBeGreaterThanOrEqual(0);
      expect(marks).toMatchObject([{ segment: 'reply', part: call }]);
      const read = { text: end.text, ids: end.ids, prompt, calls: [call] };
      expect(await reading.stored(read)).toEqual(parts);
    }
  });

  test.each(CALLING.map((family) => [family.name, family] as const))('%s: strict tools', async (_, { source }) => {
    const llm = service();
    const described = { ...llm.description, chatTemplate: source };
    const { calls, syntax } = await compileChatTemplate(described, llm.tokenize.bind(llm), environment.clock);
    if (calls === undefined) throw new Error('no calls');
    const tools = TOOLS.map((tool) => ({ ...tool, strict: true }));
    const grammar = strictGrammar(tools, { calls, syntax }, { several: false, begun: undefined });
    const prompt = await llm.tokenize('The weather is', { parseSpecial: false });
    const read = async (asked: string) => {
      const { end } = await answered(llm, prompt, asked);
      const parser = new ReplyParser(syntax, { isTool: () => true, isThinking: false });
      return { text: end.text, deltas: [...parser.push(end.text), ...parser.end()] };
    };
    const free = await read(grammar);
    expect(free.text).not.toBe('');
    if (syntax.calls?.opener !== '') expect(free.deltas.map(({ type }) => type)).toContain('text');
    // The model is brought to begin a call where it is free to go on writing text.
    const opener = JSON.stringify(syntax.calls?.opener);
    const { deltas } = await read(grammar.replace(/^root ::= .*$/m, `root ::= ${opener} calls`));
    const given = deltas.map((delta) => (delta.type === 'tool-call' ? delta.arguments : '')).join('');
    const { city, count } = JSON.parse(given);
    if (city === undefined) expect(Number(count)).toBeGreaterThanOrEqual(0);
    else expect(['Paris', 'Rome', '"Paris"', '"Rome"']).toContain(city);
  });

  test('a format', async () => {
    const llm = service();
    const prompt = await llm.tokenize('A city as JSON: ', { parseSpecial: false });
    const schema = { type: 'object', properties: { city: { enum: ['Paris', 'Rome'] } }, required: ['city'] };
    const { end } = await answered(llm, prompt, formatGrammar(schema, undefined));
    expect(['Paris', 'Rome']).toContain(JSON.parse(end.text).city);
    expect(() => formatGrammar({ type: 'string', pattern: '(?=x)y' }, undefined)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'format' }),
    );
  });
}

describe('embedded', () => {
  let llm: LlmService;
  beforeAll(async () => {
    llm = await startEmbedded({ modelPath: DEMO_MODEL_PATH, contextTokens: 2_048, parallel: 1 }, environment);
  });
  afterAll(() => llm?.close());
  holds(() => llm);
});

describe('a llama-server', () => {
  let server: RunningServer;
  let llm: LlmService;
  beforeAll(async () => {
    server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: 2_048, slots: 1 });
    llm = await connectLlamaServer({ url: server.url, connectTimeoutMs: 5_000, idleTimeoutMs: 60_000 }, environment);
  });
  afterAll(async () => {
    await llm?.close();
    await server?.stop();
  });
  holds(() => llm);
});

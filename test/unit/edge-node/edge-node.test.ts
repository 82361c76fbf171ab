// The composition root with LLM Services that misbehave: what a client is told, what the operator is told, and that a
// session is none the worse for it. Also the rule that a template which rewrites the past is refused when the node starts.
import { afterEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { DiscedgeError, type ErrorCode } from '../../../src/domain/errors.ts';
import { type EdgeNode, startEdgeNode } from '../../../src/edge-node/edge-node.ts';
import type { LlmService } from '../../../src/llm-service/llm-service.ts';
import { startScripted } from '../../../src/llm-service/scripted.ts';
import { NodeUnderTest } from '../../../tools/test-node.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

/** Drops what earlier replies said, as templates of reasoning models do. */
const FORGETFUL_TEMPLATE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content if m.role != 'assistant' or loop.last else '' }}<|im_end|>\n{% endfor %}" +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';

const started: EdgeNode[] = [];
afterEach(async () => {
  for (const node of started.splice(0)) await node.close();
});

async function start(llm: LlmService, flags: Record<string, unknown> = {}): Promise<NodeUnderTest> {
  const config = loadConfig({
    flags: { llm: 'scripted', store: 'memory', listen: '127.0.0.1:0', nodeId: 'test', logLevel: 'silent', ...flags },
    env: {},
  });
  const node = await startEdgeNode(config, { llm });
  started.push(node);
  return new NodeUnderTest(node.address.url);
}

/** A scripted service whose `generate` and `ready` can be made to fail. */
function failing(): { llm: LlmService; failWith: (error: unknown, after?: 'first part') => void; heal: () => void } {
  const scripted = startScripted({}, virtualEnvironment());
  let failure: { error: unknown; after: 'first part' | undefined } | undefined;
  return {
    llm: {
      description: scripted.description,
      tokenize: (text, how) => scripted.tokenize(text, how),
      detokenize: (ids, how) => scripted.detokenize(ids, how),
      pieces: (ids) => scripted.pieces(ids),
      slots: () => scripted.slots(),
      close: () => scripted.close(),
      async ready() {
        if (failure !== undefined) throw failure.error;
      },
      async *generate(request, signal) {
        if (failure !== undefined && failure.after === undefined) throw failure.error;
        for await (const event of scripted.generate(request, signal)) {
          yield event;
          if (failure !== undefined) throw failure.error;
        }
      },
    },
    failWith: (error, after) => {
      failure = { error, after };
    },
    heal: () => {
      failure = undefined;
    },
  };
}

describe('an LLM Service that fails', () => {
  const cases: readonly (readonly [ErrorCode, number])[] = [
    ['llm_unavailable', 503],
    ['llm_timeout', 504],
    ['llm_bad_reply', 502],
  ];

  it.each(cases)(
    '%s is told as %i, nothing is stored, and the same turn succeeds once it is back',
    async (code, status) => {
      const { llm, failWith, heal } = failing();
      const node = await start(llm);
      const first = await node.turn({ prompt: 'one' });
      const body = { prompt: 'two', session_id: first.session_id, turn: 2 };
      failWith(new DiscedgeError(code, 'out of order'));
      const answer = await node.post('/completion', body);
      expect(answer.status).toBe(status);
      expect(answer.body.error).toMatchObject({ code: status, type: code });
      expect(answer.headers.get('x-should-retry')).toBe('true');
      expect((await node.get('/health')).status).toBe(200);
      expect((await node.get('/ready')).body.error.type).toBe(code);
      heal();
      expect(await node.turn(body)).toMatchObject({ content: 'Turn 2: two', turn: 2, replayed: false });
      expect((await node.get('/ready')).status).toBe(200);
    },
  );

  it('in the middle of a stream: the error is the last event, and nothing is stored', async () => {
    const { llm, failWith, heal } = failing();
    const node = await start(llm);
    failWith(new DiscedgeError('llm_unavailable', 'gone'), 'first part');
    const body = { prompt: 'streamed', session_id: 'cut', stream: true };
    const answer = await node.post('/completion', body);
    expect(answer.status).toBe(200);
    expect(answer.text).toMatch(
      /"stop":false[\s\S]*\{"error":\{"code":503,"message":"gone","type":"llm_unavailable","retry":true\}\}\n\n$/,
    );
    expect((await node.get('/sessions/cut')).status).toBe(404);
    heal();
    expect(await node.turn(body)).toMatchObject({ replayed: false, turn: 1 });
  });

  it('in a way nobody thought of: 500, and the message stays inside', async () => {
    const { llm, failWith } = failing();
    const node = await start(llm);
    failWith(new Error('SECRET detail'));
    const answer = await node.post('/completion', { prompt: 'x' });
    expect(answer.status).toBe(500);
    expect(answer.body.error.type).toBe('internal_error');
    expect(answer.text).not.toContain('SECRET');
  });
});

describe('a template that cannot carry a conversation', () => {
  const forgetful = (): LlmService => {
    const { llm } = failing();
    return { ...llm, description: { ...llm.description, chatTemplate: FORGETFUL_TEMPLATE } };
  };

  it.each(['tokenized', 'raw'] as const)(
    'keeps a node from starting in %s, and the message offers what works',
    async (mode) => {
      await expect(start(forgetful(), { mode })).rejects.toMatchObject({
        code: 'model_unusable',
        message: expect.stringMatching(/leaves out assistant messages[\s\S]*--mode client-side/),
      });
    },
  );

  it('lets it start in client-side, where contexts are refused turn by turn', async () => {
    const node = await start(forgetful(), { mode: 'client-side' });
    expect(await node.turn({ prompt: 'x' })).toMatchObject({ mode: 'client-side' });
    for (const mode of ['tokenized', 'raw']) {
      const answer = await node.post('/completion', { prompt: 'x', mode });
      expect(answer.status).toBe(400);
      expect(answer.body.error).toMatchObject({
        type: 'mode_unavailable',
        param: 'mode',
        message: expect.stringContaining('client-side'),
      });
    }
    expect((await node.get('/props')).body).toMatchObject({
      modes: ['client-side'],
      template_classes: [{ trait: 'plain', class: 'refused' }],
      template_unusable: expect.any(String),
    });
  });
});

it('a node that cannot start leaves nothing open', async () => {
  const first = await start(startScripted({}, virtualEnvironment()));
  const taken = first.url.replace('http://', '');
  let closed = false;
  const { llm } = failing();
  const watched: LlmService = {
    ...llm,
    close: async () => {
      closed = true;
      await llm.close();
    },
  };
  await expect(start(watched, { listen: taken })).rejects.toMatchObject({
    code: 'port_in_use',
    message: expect.stringContaining(taken),
  });
  expect(closed).toBe(true);
});

/**
 * OpenAI's Python client, unmodified, on two nodes: responses, conversations and chats that go on at the other node, streams, pages,
 * refusals as its own errors, and what it does when answers are lost. Left out where there is no Python or no package index.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWithOpenAi } from '../../tools/python-openai.ts';
import type { Json } from '../../tools/test-node.ts';
import { type LosingProxy, losingProxy } from '../support/losing-proxy.ts';
import { ENGINES, startTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

const PROGRAM = fileURLToPath(new URL('../support/openai_client.py', import.meta.url));
const KNOWN = 'Your name is Zorvik.';
const python = await pythonWithOpenAi();

const arrives = undefined;

describe.skipIf(python === undefined).each(ENGINES)('with %s', (engine) => {
  let nodes: TwoNodes;
  let proxy: LosingProxy;
  beforeAll(async () => {
    nodes = await startTwoNodes(engine);
    proxy = await losingProxy(() => nodes.node(0).url);
  });
  afterAll(async () => {
    await proxy?.close();
    await nodes?.close();
  });

  async function told(section: string): Promise<Json> {
    const urls = [nodes.node(0).url, nodes.node(1).url, proxy.url];
    const { stdout } = await promisify(execFile)(python as string, [PROGRAM, ...urls, section]);
    return JSON.parse(stdout);
  }

  it('each response of a chain at the other node: made, shown, streamed, listed page by page, deleted', async () => {
    const { deltas, streamed, ...rest } = await told('responses');
    expect(rest).toEqual({
      ...{ same: true, known: KNOWN, items: ['What is my name?'] },
      deleted: [404, 'response_not_found', expect.anything()],
    });
    expect([streamed, deltas]).toEqual([KNOWN, KNOWN]);
  });

  it('each response on a conversation at the other node; its items over several pages', async () => {
    expect(await told('conversations')).toEqual({
      ...{ known: KNOWN, topic: 'names', gone: true },
      roles: ['user', 'user', 'assistant', 'user', 'assistant'],
    });
  });

  it('each turn of a chat at the other node, the last one streamed', async () => {
    const { places, known, streamed, cached } = await told('chat');
    expect(places).toEqual([
      [1, 0, 'e1'],
      [2, 1, 'e2'],
      [3, 2, 'e1'],
    ]);
    expect([known, streamed]).toEqual([KNOWN, KNOWN]);
    expect(cached).toBeGreaterThan(0);
  });

  it("refusals are the client's own errors", async () => {
    expect(await told('refusals')).toEqual({
      field: [400, 'unsupported_parameter', 'web_search_options'],
      id: [400, 'previous_response_not_found', 'previous_response_id'],
      model: [404, 'model_not_found', 'model'],
      embeddings: [400, 'unsupported_parameter', 'model'],
    });
    expect(await told('models')).toEqual(['demo']);
  });

  it('answers that are lost are had again: one call of the LLM for each turn', async () => {
    const before = await nodes.llmCalls();
    for (const loss of [500, 409, 'reset'] as const) proxy.losses.push(loss, arrives, loss, arrives);
    proxy.losses.push('cut');
    const replies = await told('retries');
    expect(replies).toHaveLength(7);
    expect(proxy.losses).toEqual([]);
    expect((await nodes.llmCalls()) - before).toBe(7);
  });
});

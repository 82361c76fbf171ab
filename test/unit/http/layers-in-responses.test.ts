// Context layers in OpenAI's responses and in what both other APIs count. Tries to find a response, whole, in events or over a prepared
// one, that says nothing of its layers, one from its record that does, one that has a layer that its request does without, and a count
// that is not what the prompt then has.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

describe.each(['tokenized', 'raw'] as const)('in mode %s', (mode) => {
  const folder = temporaryFolder();
  let node: InProcessNode;
  beforeAll(async () => {
    const regionalData = join(folder.path, 'region.txt');
    writeFileSync(regionalData, 'CANARYREGION is Wien.');
    node = await startTestNode({ regionalData, mode });
    await set('brief');
  });
  afterAll(async () => {
    await node.close();
    folder.remove();
  });
  const set = (preferences: string) => node.put('/users/ada/preferences', { preferences });
  const respond = async (body: object): Promise<Json> =>
    (await node.post('/v1/responses', { user: 'ada', max_output_tokens: 3, ...body })).body;
  const names = (layers: Json) => layers.parts.map(({ name }: Json) => name);

  it('a response tells its layers, in the last event of a stream too, and none from its record', async () => {
    const first = await respond({ input: 'one' });
    expect(names(first.discedge.layers)).toEqual(['region', 'preferences']);
    await set('at length, please');
    const second = await respond({ input: 'two', previous_response_id: first.id });
    expect(second.discedge.layers.parts.map(({ changed }: Json) => changed)).toEqual([false, true]);
    expect(second.discedge.layers.tokens_rewritten).toBeGreaterThan(0);
    const body = { user: 'ada', input: 'three', previous_response_id: second.id, stream: true };
    const { text } = await node.post('/v1/responses', body);
    const events = text.split('\n').flatMap((line) => (line.startsWith('data: {') ? [JSON.parse(line.slice(6))] : []));
    expect(events.at(-1).type).toBe('response.completed');
    expect(events.at(-1).response.discedge.layers).toMatchObject({ tokens_rewritten: 0 });
    expect(events[0].response).not.toHaveProperty('discedge');
    expect((await node.get(`/v1/responses/${second.id}`)).body).not.toHaveProperty('discedge');
    expect(await respond({ input: 'one', store: false })).not.toHaveProperty('discedge');
  });

  it('a response does without the region or the preferences, and so does its count', async () => {
    for (const [layers, stand] of [
      [undefined, ['region', 'preferences']],
      [{ region: false }, ['preferences']],
      [{ preferences: false, region: true }, ['region']],
      [false, []],
    ] as const) {
      const body = { input: 'one', ...(layers !== undefined && { layers }) };
      const { discedge, usage } = await respond(body);
      expect(discedge === undefined ? [] : names(discedge.layers)).toEqual(stand);
      const counted = (await node.post('/v1/responses/input_tokens', { user: 'ada', ...body })).body;
      expect(counted.input_tokens).toBe(usage.input_tokens);
    }
    for (const layers of [true, { deployment: false }, 'none'])
      expect((await node.post('/v1/responses', { input: 'x', layers })).status, String(layers)).toBe(400);
    const compacted = await node.post('/v1/responses/compact', { input: 'x', layers: false });
    expect([compacted.status, compacted.body.error.param]).toEqual([400, 'layers']);
  });

  it('over a socket too, prepared or answered', async () => {
    const socket = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    const told = (body: object) =>
      new Promise<Json>((resolve, reject) => {
        const read = (data: unknown) => {
          const { type, response } = JSON.parse(String(data));
          if (type === 'error' || type === 'response.failed') reject(new Error(String(data)));
          if (type !== 'response.completed' && type !== 'response.incomplete') return;
          socket.off('message', read);
          resolve(response.discedge);
        };
        socket.on('message', read);
        socket.send(JSON.stringify({ type: 'response.create', user: 'ada', input: 'one', ...body }));
      });
    for (const generate of [true, false]) {
      expect(names((await told({ generate })).layers)).toEqual(['region', 'preferences']);
      expect(names((await told({ generate, layers: { region: false } })).layers)).toEqual(['preferences']);
      expect(await told({ generate, layers: false })).toBeUndefined();
    }
    socket.terminate();
  });

  it('what is counted is what the prompt has, layers and all', async () => {
    const first = await respond({ input: 'one' });
    const next = { user: 'ada', input: 'two', previous_response_id: first.id };
    const { input_tokens } = (await node.post('/v1/responses/input_tokens', next)).body;
    expect(input_tokens).toBe((await respond(next)).usage.input_tokens);

    const said = { messages: [{ role: 'user', content: 'x' }], system: 'Be kind.' };
    const count = async (more: object) => (await node.post('/v1/messages/count_tokens', { ...said, ...more })).body;
    const taken = async (more: object) =>
      (await node.post('/v1/messages', { ...said, ...more, max_tokens: 1 })).body.usage;
    const counts: number[] = [];
    for (const more of [
      { metadata: { user_id: 'ada' } },
      {},
      { layers: false },
      { store: false },
      { messages: [...said.messages, { role: 'assistant', content: 'y' }, { role: 'user', content: 'z' }] },
    ]) {
      const { input_tokens: counted } = await count(more);
      const usage = await taken(more);
      expect(counted, JSON.stringify(more)).toBe(usage.input_tokens + usage.cache_read_input_tokens);
      counts.push(counted);
    }
    const [own, region, none, unkept] = counts as [number, number, number, number];
    expect(own).toBeGreaterThan(region);
    expect(region).toBeGreaterThan(none);
    expect(unkept).toBe(none);
  });
});

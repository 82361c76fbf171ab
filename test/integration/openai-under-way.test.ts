// Responses that one node works on, asked for, followed, cancelled and deleted at another, before there is any record of them. Nothing
// is timed: what is under way waits behind a response without end on the same conversation, until that is cancelled, at the other
// node as well.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newClusterKey } from '../../src/certificates/cluster-key.ts';
import { ENGINES, type Engine } from '../../src/edge-node/models/engines.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';

const folder = temporaryFolder();
const nodes: InProcessNode[] = [];
beforeAll(async () => {
  const [program] = await natsPrograms();
  const ports = [await freePort(), await freePort()];
  const clusterKeyFile = join(folder.path, 'cluster.key');
  writeFileSync(clusterKeyFile, newClusterKey({ bytes: (length) => new Uint8Array(length).fill(7) }));
  for (const index of [0, 1]) {
    nodes.push(
      await startTestNode(
        {
          ...{ nodeId: `e${index + 1}`, store: 'nats', natsProgram: program?.path, clusterKeyFile },
          ...{ natsListen: `127.0.0.1:${ports[index]}`, dataDir: join(folder.path, `e${index + 1}`) },
          ...{ replyTokensMax: 1_048_576, bodyBytesMax: 4 * 1_048_576, maxWaitMs: 5_000, maxWaitMsLimit: 120_000 },
          ...(index === 1 && { peers: `e1=127.0.0.1:${ports[0]}` }),
        },
        { engines: { ...ENGINES, scripted: unhurried } },
      ),
    );
  }
});
afterAll(async () => {
  for (const node of nodes) await node.close();
  folder.remove();
});

/** A model that takes its time over each part of a reply. */
const unhurried: Engine = {
  ...ENGINES.scripted,
  start: async (_, { environment }) => startScripted({ delayMs: 5 }, environment),
};

const clientAt = (index: number) =>
  new OpenAI({ baseURL: `${(nodes[index] as InProcessNode).url}/v1`, apiKey: 'any', maxRetries: 0 });
const background = (index: number, fields: object) =>
  clientAt(index).responses.create({ model: 'scripted', background: true, ...fields });
/** What the model is busy with until it is stopped: quarters of an hour. */
const endless = { input: 'x'.repeat(600_000), max_output_tokens: 1_000_000 };
const CREATED = { model: 'scripted', metadata: { of: 'ada' } };

/** At the first node: one without end on a conversation, and one behind it. */
async function oneBehindAnother() {
  const { id: conversation } = await clientAt(0).conversations.create();
  const before = await background(0, { ...endless, conversation });
  const behind = await background(0, { input: 'hello', conversation, ...CREATED });
  return { before, behind };
}

it('are told of by the node that works on them, and cancelled at any', async () => {
  const { before, behind } = await oneBehindAnother();
  const told = await clientAt(1).responses.retrieve(behind.id);
  expect(told).toMatchObject({ id: behind.id, status: behind.status, ...CREATED, output: [], usage: null });
  expect(told.created_at).toBe(behind.created_at);
  expect(await clientAt(1).responses.cancel(behind.id)).toMatchObject({ id: behind.id, status: 'cancelled' });
  expect(await clientAt(0).responses.retrieve(behind.id)).toMatchObject({ status: 'cancelled' });
  expect(await clientAt(1).responses.retrieve(behind.id)).toMatchObject({ status: 'cancelled' });
  expect(await clientAt(1).responses.cancel(before.id)).toMatchObject({ status: 'cancelled' });
  const stream = await clientAt(1).responses.retrieve(before.id, { stream: true });
  const types: string[] = [];
  for await (const { type } of stream) types.push(type);
  expect(types).toEqual(['response.created', 'response.in_progress', 'response.cancelled']);
});

it('are followed at another node, from any event on, until they are done', async () => {
  const { before, behind } = await oneBehindAnother();
  const follow = async (starting_after?: number) => {
    const query = { stream: true as const, ...(starting_after !== undefined && { starting_after }) };
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of await clientAt(1).responses.retrieve(behind.id, query)) events.push(event);
    return events;
  };
  const followed = [follow(), follow(1)];
  // Both have been answered with what the other node tells once that is cancelled: it is asked after they are.
  await clientAt(1).responses.retrieve(behind.id);
  await clientAt(1).responses.cancel(before.id);
  const [all, rest] = await Promise.all(followed);
  expect(all?.at(-1)).toMatchObject({
    type: 'response.completed',
    response: { id: behind.id, output: [{ content: [{ text: 'Turn 1: hello' }] }] },
  });
  expect(rest).toEqual(all?.filter(({ sequence_number }) => sequence_number > 1));
  expect(all?.map(({ type }) => type).slice(0, 2)).toEqual(['response.created', 'response.in_progress']);
});

it('one that is not made in the background is not cancelled at another node either, and is told of', async () => {
  const gone = new AbortController();
  const stream = await clientAt(0).responses.create({ ...endless, model: 'scripted', stream: true }, gone);
  let id: string | undefined;
  for await (const event of stream) {
    if (event.type !== 'response.created') continue;
    id = event.response.id;
    break;
  }
  const refused = await clientAt(1)
    .responses.cancel(id as string)
    .catch((error) => error);
  expect(refused).toMatchObject({ status: 400, param: 'response_id' });
  // Deleting stops it, wherever.
  expect(await clientAt(1).responses.delete(id as string)).toMatchObject({ deleted: true });
});

it('are deleted at another node, and told of no more', async () => {
  const { before, behind } = await oneBehindAnother();
  expect(await clientAt(1).responses.delete(behind.id)).toMatchObject({ deleted: true });
  const asked = await clientAt(0)
    .responses.retrieve(behind.id)
    .catch((error) => error);
  expect(asked).toMatchObject({ status: 503, code: 'context_stale' });
  await clientAt(0).responses.cancel(before.id);
});

// A user is erased while one of two nodes is off-line: the receipt says who is awaited; the node returns, erases what it alone had,
// and confirms; and no file of either has the user's words, neither as text nor as the ids that they were kept as.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ByteWriter } from '../../src/domain/bytes.ts';
import { CURRENT_TOKEN_CODEC } from '../../src/domain/record/token-codec.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';
import { filesWith } from '../support/files-with.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const CANARY = 'canary-7f3a91';

const folder = temporaryFolder();
const nodes = new Map<string, InProcessNode>();
let program: string;
beforeAll(async () => {
  program = (await natsPrograms())[0]?.path as string;
});
afterAll(async () => {
  for (const node of nodes.values()) await node.close();
  folder.remove();
});

async function start(id: string, peers?: string, natsListen = '127.0.0.1:0'): Promise<InProcessNode> {
  const node = await startTestNode({
    ...{ nodeId: id, store: 'nats', natsProgram: program, natsListen },
    ...{ dataDir: join(folder.path, id), ...(peers !== undefined && { peers }) },
  });
  nodes.set(id, node);
  return node;
}

const natsAddress = async (node: InProcessNode) => new URL((await node.get('/nodes')).body.nodes[0].nats_url).host;
const filesOf = (id: string, needles: readonly Buffer[]) => filesWith(join(folder.path, id), ...needles);
const until = (look: () => Promise<void>) => vi.waitFor(look, { timeout: WAIT_MS, interval: 50 });

test('nothing comes back, and the receipt tells', async () => {
  const a = await start('a');
  let b = await start('b', `a=${await natsAddress(a)}`);
  const listenB = await natsAddress(b);
  const { tokens } = (await a.post('/tokenize', { content: CANARY })).body;
  const writer = new ByteWriter(256);
  CURRENT_TOKEN_CODEC.write(tokens, writer);
  const asIds = Buffer.from(writer.view());
  const needles = [Buffer.from(CANARY), asIds];

  const says = { prompt: `I say ${CANARY}.`, user_id: 'eve' };
  await a.turn({ ...says, session_id: 'ids', turn: 1 });
  await a.turn({ ...says, session_id: 'text', turn: 1, mode: 'raw' });
  await until(async () => {
    for (const id of ['ids', 'text']) expect((await b.get(`/sessions/${id}?user_id=eve`)).status).toBe(200);
  });
  await b.turn({ ...says, session_id: 'ids', turn: 2 });
  await until(async () => expect((await a.get('/sessions/ids?user_id=eve&turn=2')).status).toBe(200));
  await b.turn({ prompt: 'Others stay.', user_id: 'bob', session_id: 'bobs', turn: 1 });
  await a.close();
  await b.turn({ ...says, session_id: 'only-at-b', turn: 1 });
  await b.close();
  const again = await start('a', `b=${listenB}`);
  for (const id of ['a', 'b']) expect(await filesOf(id, [asIds]), id).not.toEqual([]);

  const { body: receipt } = await again.request('DELETE', '/users/eve?max_wait_ms=0');
  const told = `/users/eve/erasures/${receipt.receipt_id}`;
  await until(async () => {
    expect((await again.get(told)).body).toMatchObject({
      complete: false,
      nodes: [
        { node: 'a', state: 'confirmed', sessions: 2 },
        { node: 'b', state: 'awaited' },
      ],
    });
  });
  expect(await filesOf('a', needles)).toEqual([]);
  expect(await filesOf('b', needles)).not.toEqual([]);

  b = await start('b', `a=${await natsAddress(again)}`, listenB);
  for (const node of [again, b])
    await until(async () => {
      expect((await node.get(told)).body).toMatchObject({
        complete: true,
        nodes: [{ node: 'a' }, { node: 'b', state: 'confirmed', sessions: 3 }],
      });
    });
  for (const node of [again, b]) {
    expect((await node.get('/sessions?user_id=eve')).body.data).toEqual([]);
    for (const id of ['ids', 'text', 'only-at-b'])
      expect((await node.get(`/sessions/${id}?user_id=eve`)).status).toBe(404);
    expect((await node.get('/sessions/bobs?user_id=bob&turn=1')).status).toBe(200);
  }
  for (const id of ['a', 'b']) expect(await filesOf(id, needles), id).toEqual([]);

  // The user begins anew, at one node and then at the other.
  await again.turn({ prompt: 'Anew.', user_id: 'eve', session_id: 'ids', turn: 1 });
  await b.turn({ prompt: 'Anew.', user_id: 'eve', session_id: 'ids', turn: 2 });
  expect((await again.get('/sessions/ids?user_id=eve&turn=2')).body.turns).toHaveLength(2);
}, 180_000);

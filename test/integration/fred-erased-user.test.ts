// A user is erased over FReD, one of two nodes being off-line: it returns, erases what it alone had, and confirms; nothing comes back
// from FReD, neither to the nodes that were there nor to one that joins later, and no file of theirs has the user's words.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';
import { filesWith } from '../support/files-with.ts';
import { type FredNodes, startFredNodes } from '../support/fred-cluster.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const CANARY = 'canary-7f3a91';

const folder = temporaryFolder();
const nodes = new Map<string, InProcessNode>();
let fred: FredNodes;
beforeAll(async () => {
  fred = await startFredNodes();
});
afterAll(async () => {
  for (const node of nodes.values()) await node.close();
  await fred.close();
  folder.remove();
});

async function start(nodeId: string, place: number): Promise<InProcessNode> {
  const store = { store: `fred://${fred.hosts[place]}`, fredCertsDir: fred.certificates };
  const node = await startTestNode({
    ...{ nodeId, ...store, cluster: `erased-${process.pid}`, dataDir: join(folder.path, nodeId) },
    // A machine that is busy with other tests is not a cut link.
    ...{ arbiterWaitMs: '20000', maxWaitMs: '20000', maxWaitMsLimit: '60000' },
  });
  nodes.set(nodeId, node);
  return node;
}

const until = (look: () => Promise<void>) => vi.waitFor(look, { timeout: WAIT_MS, interval: 50 });

test('nothing comes back, and the receipt tells', async () => {
  const a = await start('e1', 0);
  let b = await start('e2', 1);
  const says = { prompt: `I say ${CANARY}.`, user_id: 'eve', mode: 'raw' };
  await a.turn({ ...says, session_id: 'both', turn: 1 });
  await until(async () => expect((await b.get('/sessions/both?user_id=eve')).status).toBe(200));
  await b.turn({ prompt: 'Others stay.', user_id: 'bob', session_id: 'bobs', turn: 1 });
  await until(async () => expect((await a.get('/sessions/bobs?user_id=bob')).status).toBe(200));
  await a.close();
  await b.turn({ ...says, session_id: 'only-at-b', turn: 1 });
  await b.close();
  for (const id of ['e1', 'e2']) expect(await filesWith(join(folder.path, id), CANARY), id).not.toEqual([]);

  const again = await start('e1', 0);
  const { body: receipt } = await again.request('DELETE', '/users/eve?max_wait_ms=0');
  const told = `/users/eve/erasures/${receipt.receipt_id}`;
  await until(async () => {
    const here = (await again.get(told)).body.nodes.find(({ node }: { node: string }) => node === 'e1');
    expect(here).toMatchObject({ state: 'confirmed' });
  });

  b = await start('e2', 1);
  for (const node of [again, b])
    await until(async () => {
      const { nodes: said } = (await node.get(told)).body;
      expect(said).toHaveLength(2);
      for (const { state } of said) expect(state).toBe('confirmed');
    });
  const late = await start('e3', 2);
  await until(async () => expect((await late.get('/sessions/bobs?user_id=bob')).status).toBe(200));
  for (const node of [again, b, late]) {
    expect((await node.get('/sessions?user_id=eve')).body.data).toEqual([]);
    for (const id of ['both', 'only-at-b']) expect((await node.get(`/sessions/${id}?user_id=eve`)).status).toBe(404);
    expect((await node.get('/sessions/bobs?user_id=bob')).body.turns).toHaveLength(1);
  }
  for (const id of ['e1', 'e2', 'e3']) expect(await filesWith(join(folder.path, id), CANARY), id).toEqual([]);

  // The user begins anew.
  await b.turn({ prompt: 'Anew.', user_id: 'eve', session_id: 'both', turn: 1 });
  await until(async () => expect((await again.get('/sessions/both?user_id=eve')).body.turns).toHaveLength(1));
}, 180_000);

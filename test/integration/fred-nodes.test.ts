// Edge nodes as users start them, over FReD: a conversation roams, a turn has one effect, and what nodes say of each other.
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';
import { type FredNodes, startFredNodes } from '../support/fred-cluster.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const LONG = { ignore_eos: true, n_predict: 1_000 };

let fred: FredNodes;
let folder: ReturnType<typeof temporaryFolder>;
let nodes: InProcessNode[];
let clusters = 0;

beforeAll(async () => {
  fred = await startFredNodes();
});
afterAll(() => fred.close());
beforeEach(async () => {
  folder = temporaryFolder();
  nodes = [];
  const cluster = `nodes-${process.pid}-${++clusters}`;
  for (const [place, nodeId] of ['e1', 'e2', 'e3'].entries()) {
    // A machine that is busy with other tests is not a cut link.
    const waits = { arbiterWaitMs: '20000', maxWaitMs: '20000', maxWaitMsLimit: '60000' };
    const store = { store: `fred://${fred.hosts[place]}`, fredCertsDir: fred.certificates, cluster };
    const advertise = `http://${nodeId}.example:8081`;
    nodes.push(await startTestNode({ nodeId, dataDir: join(folder.path, nodeId), ...store, ...waits, advertise }));
  }
  for (const node of nodes)
    await eventually(async () => {
      const peers = (await node.get('/nodes')).body.nodes.slice(1);
      expect(peers).toMatchObject([{ state: 'connected' }, { state: 'connected' }]);
    });
});
afterEach(async () => {
  for (const node of nodes.reverse()) await node.close();
  folder.remove();
});

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 50 });
const at = (index: number) => nodes[index] as InProcessNode;

test('a conversation roams over three nodes, and what is written can be at a peer before it is acknowledged', async () => {
  const first = await at(0).turn({ session_id: 's', turn: 1, prompt: 'hello', write_concern: 'replicated' });
  expect(first).toMatchObject({ write_concern: 'replicated' });
  const second = await at(1).turn({ session_id: 's', turn: 2, context_id: first.context_id, prompt: 'again' });
  expect(second).toMatchObject({ based_on_turn: 1, arbitrated: true });
  const third = await at(2).turn({ session_id: 's', turn: 3, context_id: second.context_id, prompt: 'on' });
  expect(third).toMatchObject({ based_on_turn: 2, arbitrated: true });
  await eventually(async () =>
    expect((await at(0).get('/sessions/s')).body).toMatchObject({ context_id: third.context_id, branches: [] }),
  );
});

test('the same turn at two nodes at once has one effect, and both get its reply', async () => {
  for (let n = 0; n < 5; n++) {
    const session_id = `s${n}`;
    const first = await at(0).turn({ session_id, turn: 1, prompt: 'hello' });
    const body = { session_id, turn: 2, context_id: first.context_id, prompt: 'pay 5 EUR', ...LONG };
    const replies = await Promise.all([at(0).turn(body), at(1).turn(body), at(2).turn(body)]);
    expect(new Set(replies.map(({ context_id }) => context_id)).size).toBe(1);
    expect(replies.filter(({ replayed }) => !replayed)).toMatchObject([{ arbitrated: true }]);
  }
});

test('nodes say what they know of each other and of their FReD nodes', async () => {
  const { nodes: told, refused } = (await at(0).get('/nodes')).body;
  expect(refused).toEqual({});
  expect(told[0]).toMatchObject({
    state: 'self',
    fred_connected: true,
    fred_url: `fred://${fred.hosts[0]}`,
    uncarried: 0,
  });
  expect(
    told
      .slice(1)
      .map(({ node }: { node: string }) => node)
      .sort(),
  ).toEqual(['e2', 'e3']);
  for (const peer of told.slice(1))
    expect(peer).toMatchObject({ url: `http://${peer.node}.example:8081`, fred_url: expect.any(String), lag: 0 });
  const { text } = await at(0).get('/metrics');
  expect(text).toMatch(/^discedge_fred_connected(\{[^}]*\})? 1$/m);
  expect(text).toMatch(/^discedge_uncarried_records(\{[^}]*\})? 0$/m);
});

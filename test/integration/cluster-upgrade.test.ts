/**
 * Two builds of the node side by side, as processes with nats-servers of their own: this one, and a later one that has a newer
 * version of the record, or an earlier one that knows of no items added without a reply. Tries to make an upgrade, node by node, lose, stall or pass over a turn, and an older node do more
 * than wait where a newer one has written what it cannot read.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { newClusterKey } from '../../src/certificates/cluster-key.ts';
import { RECORD_FORMAT_VERSION } from '../../src/domain/record/record-version.ts';
import { freePort } from '../../tools/free-port.ts';
import { buildEarlierNode, buildLaterNode, EARLIER_RECORD_VERSION, LATER_SESSIONS } from '../../tools/later-build.ts';
import { CLI_PATH, type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import type { Json } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const STOP_GRACE_MS = 15_000;
const IDS = ['a', 'b', 'c'] as const;
type Id = (typeof IDS)[number];

let laterCli: string;
let earlierCli: string;
let program: string;
let folder: ReturnType<typeof temporaryFolder>;
let ports: Record<Id, number>;
const running = new Map<Id, NodeProcess>();

beforeAll(async () => {
  program = (await natsPrograms())[0]?.path as string;
  const build = temporaryFolder();
  laterCli = buildLaterNode(build.path);
  const earlier = temporaryFolder();
  earlierCli = buildEarlierNode(earlier.path);
  return () => {
    build.remove();
    earlier.remove();
  };
});
beforeEach(async () => {
  folder = temporaryFolder();
  writeFileSync(clusterKey(), newClusterKey({ bytes: (length) => new Uint8Array(length).fill(7) }));
  ports = { a: await freePort(), b: await freePort(), c: await freePort() };
});
afterEach(async () => {
  await Promise.all(IDS.map(stop));
  folder.remove();
});

const clusterKey = () => join(folder.path, 'cluster.key');
const at = (id: Id): NodeProcess => running.get(id) as NodeProcess;

async function start(id: Id, cli: string): Promise<void> {
  const peers = IDS.filter((other) => other !== id).map((other) => `${other}=127.0.0.1:${ports[other]}`);
  const args = ['--node-id', id, '--llm', 'scripted', '--store', 'nats', '--nats-program', program];
  const places = ['--data-dir', join(folder.path, id), '--nats-listen', `127.0.0.1:${ports[id]}`];
  const cluster = ['--peers', peers.join(','), '--cluster-key-file', clusterKey()];
  running.set(id, await startNodeProcess([...args, ...places, ...cluster], { cli }));
}

async function stop(id: Id): Promise<void> {
  await running.get(id)?.process.stop({ graceMs: STOP_GRACE_MS });
  running.delete(id);
}

async function upgrade(id: Id, cli = laterCli): Promise<void> {
  await stop(id);
  await start(id, cli);
}

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 50 });
const peerOf = async (id: Id, peer: Id): Promise<Json> =>
  (await at(id).get('/nodes')).body.nodes.find(({ node }: Json) => node === peer);

/** Every node has everything of every other. */
async function inStep(): Promise<void> {
  for (const id of IDS)
    for (const peer of IDS.filter((other) => other !== id))
      await eventually(async () => {
        const seen = await peerOf(id, peer);
        expect(seen).toMatchObject({ state: 'connected', lag: 0 });
        expect(seen).not.toHaveProperty('needs_record_version');
      });
}

const take = (id: Id, session: string, turn: number, maxWaitMs = 30_000) =>
  at(id).post('/completion', { session_id: session, turn, prompt: `message ${turn}`, max_wait_ms: maxWaitMs });

async function taken(id: Id, session: string, turn: number): Promise<void> {
  const { status, body } = await take(id, session, turn);
  expect({ status, ...body }).toMatchObject({ status: 200, turn, based_on_turn: turn - 1, replayed: false });
}

test('a cluster is upgraded node by node, and a conversation that roams over it never waits for one', async () => {
  await Promise.all(IDS.map((id) => start(id, CLI_PATH)));
  await inStep();
  let turn = 0;
  const roam = async () => {
    for (const id of IDS) await taken(id, 'roaming', ++turn);
  };
  await roam();
  for (const id of IDS) {
    await stop(id);
    for (const other of IDS.filter((left) => left !== id)) await taken(other, 'roaming', ++turn);
    await start(id, laterCli);
    await inStep();
    await roam();
  }
  // Now that all can, what is new may be used.
  for (const [index, id] of IDS.entries()) await taken(id, `${LATER_SESSIONS}1`, index + 1);
});

test('an older node waits at what it cannot read, says so, serves all else, and takes it once it is upgraded', async () => {
  await Promise.all([start('a', CLI_PATH), start('b', laterCli), start('c', CLI_PATH)]);
  await inStep();
  const session = `${LATER_SESSIONS}1`;
  await taken('b', 'before', 1);
  await taken('a', 'before', 2);
  await taken('b', session, 1);
  await taken('b', session, 2);
  await taken('b', 'after', 1);
  const newer = RECORD_FORMAT_VERSION + 1;
  const waits = async (id: Id) => {
    const seen = await peerOf(id, 'b');
    expect(seen).toMatchObject({ state: 'connected', needs_record_version: newer, record_version: newer });
    expect(seen).toMatchObject({ reason: expect.stringContaining('needs upgrade'), refused_records: {} });
    expect(seen.lag).toBeGreaterThan(0);
  };
  for (const id of ['a', 'c'] as const) await eventually(() => waits(id));
  await eventually(async () =>
    expect(await peerOf('b', 'a')).toMatchObject({ record_version: RECORD_FORMAT_VERSION, lag: 0 }),
  );
  expect((await at('a').get('/metrics')).text).toMatch(/^discedge_peer_needs_upgrade\{peer="b"\} 1$/m);
  expect(
    at('a')
      .process.log()
      .match(/record_needs_upgrade/g),
  ).toHaveLength(1);

  // Nothing is answered from less than was said, and everything else goes on.
  expect((await take('a', session, 3, 300)).body).toMatchObject({ error: { type: 'context_stale' } });
  // What lies behind it and can be read is fetched when somebody asks for it.
  await taken('a', 'after', 2);
  await taken('a', 'own', 1);
  await taken('c', 'own', 2);
  await taken('b', 'own', 3);
  await taken('c', 'before', 3);
  await taken('a', 'before', 4);

  // The place is kept over a start, of either.
  await stop('a');
  await stop('b');
  await start('a', CLI_PATH);
  await start('b', laterCli);
  await eventually(() => waits('a'));

  await upgrade('a');
  await taken('a', session, 3);
  await taken('a', 'after', 3);
  await upgrade('c');
  await taken('c', session, 4);
  await taken('c', 'after', 4);
  await inStep();
});

test('a node that knows of no added items waits before them, and reads them once it is upgraded', async () => {
  await Promise.all([start('a', earlierCli), start('b', CLI_PATH)]);
  await eventually(async () =>
    expect(await peerOf('b', 'a')).toMatchObject({
      state: 'connected',
      record_version: EARLIER_RECORD_VERSION,
      lag: 0,
    }),
  );
  const said = (content: string) => ({ items: [{ type: 'message', role: 'user', content }] });
  const { body: conversation } = await at('b').post('/v1/conversations', said('first'));
  await taken('b', 'behind', 1);
  const waits = async () =>
    expect(await peerOf('a', 'b')).toMatchObject({
      ...{ state: 'connected', needs_record_version: EARLIER_RECORD_VERSION + 1, refused_records: {} },
      reason: expect.stringContaining('needs upgrade'),
    });
  const respond = (id: Id) => at(id).post('/v1/responses', { conversation: conversation.id, input: 'Recall' });
  await eventually(waits);
  expect((await respond('a')).status).not.toBe(200);
  await taken('a', 'behind', 2);
  await upgrade('a', earlierCli);
  await eventually(waits);

  await upgrade('a', CLI_PATH);
  const { status, body } = await respond('a');
  expect({ status, conversation: body.conversation }).toEqual({ status: 200, conversation: { id: conversation.id } });
  expect(body.output[0].content[0].text).toBe('Turn 2: first | Recall');
  await taken('b', 'behind', 3);
  await eventually(async () => {
    const seen = await peerOf('a', 'b');
    expect(seen).toMatchObject({ state: 'connected', lag: 0 });
    expect(seen).not.toHaveProperty('needs_record_version');
  });
});

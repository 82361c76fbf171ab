// All of a user is taken from a node into another cluster, which had nothing: it goes on there at whichever node, and the model reads
// exactly the ids that it would have read where it came from.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const USER = 'ada';

const folder = temporaryFolder();
const nodes: InProcessNode[] = [];
let [first, a, b]: InProcessNode[] = [];

beforeAll(async () => {
  const [program] = await natsPrograms();
  const start = async (nodeId: string, peers?: string) => {
    const nats = { store: 'nats', natsProgram: program?.path, natsListen: '127.0.0.1:0' };
    const dataDir = join(folder.path, nodeId);
    const node = await startTestNode({ nodeId, ...nats, dataDir, ...(peers !== undefined && { peers }) });
    nodes.push(node);
    return node;
  };
  first = await start('first');
  a = await start('a');
  const address = new URL((await a.get('/nodes')).body.nodes[0].nats_url).host;
  b = await start('b', `a=${address}`);
});
afterAll(async () => {
  for (const node of nodes.reverse()) await node.close();
  folder.remove();
});

const at = (node: InProcessNode | undefined) => node as InProcessNode;
const exportOf = async (node: InProcessNode | undefined, id: string, turn: number): Promise<Json> => {
  const path = `/sessions/${id}/export?user_id=${USER}&turn=${turn}&max_wait_ms=${WAIT_MS}`;
  return (await at(node).get(path)).body;
};
/** All ids of the session, as the model read and wrote them. */
const idsOf = ({ turns }: Json) => turns.flatMap(({ prompt_ids, reply_ids }: Json) => [...prompt_ids, ...reply_ids]);

test('a user moves to another cluster', async () => {
  const sessions = Array.from({ length: 5 }, (_, place) => `session ${place}`);
  for (const session_id of sessions)
    for (const turn of [1, 2, 3])
      await at(first).turn({ prompt: `My word is ${session_id}.`, session_id, turn, user_id: USER });
  await at(first).put(`/users/${USER}/preferences`, { preferences: 'Be brief.' });
  const { text } = await at(first).get(`/users/${USER}/export`);

  const imported = (await at(a).post(`/users/${USER}/import`, JSON.parse(text))).body;
  expect(imported).toMatchObject({ imported: 5, already_here: 0, refused: 0, preferences: { state: 'imported' } });
  await vi.waitFor(
    async () => expect((await at(b).get(`/users/${USER}/preferences`)).body.preferences).toBe('Be brief.'),
    { timeout: WAIT_MS, interval: 50 },
  );
  for (const [place, session_id] of sessions.entries()) {
    const id = encodeURIComponent(session_id);
    const goesOn = { prompt: 'What is my word?', session_id, turn: 4, user_id: USER, max_wait_ms: WAIT_MS };
    const node = place % 2 === 0 ? b : a;
    const { context_id } = imported.sessions[place];
    const [here, there] = [await at(node).turn({ ...goesOn, context_id }), await at(first).turn(goesOn)];
    expect(here.content).toBe(there.content);
    expect(idsOf(await exportOf(node, id, 4))).toEqual(idsOf(await exportOf(first, id, 4)));
  }
  const other = (await at(b).post(`/users/${USER}/import`, JSON.parse(text))).body;
  expect(other).toMatchObject({ imported: 0, already_here: 5, refused: 0, preferences: { state: 'already_here' } });
}, 180_000);

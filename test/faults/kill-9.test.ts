// Kills a real node with -9 while many sessions are in the middle of their turns, again and again on one data folder.
// Whatever the node had acknowledged must be there afterwards, word for word; what it had not may be there as a whole turn
// or not at all; and every session must go on. DISCEDGE_TEST_KILLS sets how often (default 40, so that some 300 turns are cut).
import { afterAll, expect, it } from 'vitest';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import type { Json } from '../../tools/test-node.ts';

const KILLS = Number(process.env.DISCEDGE_TEST_KILLS ?? 40);
const SESSIONS = 8;
const folder = temporaryFolder();
let node: NodeProcess | undefined;
afterAll(async () => {
  await node?.process.stop();
  folder.remove();
});

/** What one client knows: the turns that were acknowledged to it. */
interface Client {
  readonly session_id: string;
  readonly acknowledged: Json[];
}

const promptOf = (client: Client, turn: number) => `${client.session_id} says ${turn}`;

/** Takes turns until the connection breaks. A turn that was cut off is sent again as it was, as a client would. */
async function converse(target: NodeProcess, client: Client): Promise<void> {
  for (;;) {
    const turn = client.acknowledged.length + 1;
    try {
      const stream = turn % 2 === 0;
      client.acknowledged.push(
        await target.turn({ prompt: promptOf(client, turn), session_id: client.session_id, turn, stream }),
      );
    } catch (error) {
      if (/^\d{3}:/.test((error as Error).message)) throw error;
      return;
    }
  }
}

async function check(target: NodeProcess, client: Client): Promise<void> {
  const answer = await target.get(`/sessions/${client.session_id}`);
  if (answer.status === 404 && client.acknowledged.length === 0) return;
  const { turns } = answer.body;
  const stored = turns.length - client.acknowledged.length;
  expect([0, 1], `${client.session_id}: ${turns.length} stored, ${client.acknowledged.length} acknowledged`).toContain(
    stored,
  );
  for (const [index, turn] of turns.entries()) {
    const number = index + 1;
    expect(turn).toMatchObject({
      turn: number,
      user: promptOf(client, number),
      reply: `Turn ${number}: ${promptOf(client, number)}`,
    });
    const acknowledged = client.acknowledged[index];
    if (acknowledged !== undefined) expect(turn.context_id).toBe(acknowledged.context_id);
  }
}

it(`${KILLS} times kill -9 in the middle of ${SESSIONS} turns: no acknowledged turn is lost, no half turn is kept`, {
  timeout: 900_000,
}, async () => {
  let acknowledged = 0;
  for (let round = 0; round < KILLS; round++) {
    node = await startNodeProcess(['--llm', 'scripted', '--data-dir', folder.path]);
    const target = node;
    // Sessions of the last round go on; every tenth round begins new ones, so that they stay short enough to compare.
    const generation = Math.floor(round / 10);
    const clients = generations[generation] ?? newClients(generation);
    generations[generation] = clients;
    await Promise.all(clients.map((client) => check(target, client)));
    const before = count(clients);
    const conversations = clients.map((client) => converse(target, client));
    // The kill falls at whatever point the sessions have reached after a number of turns that differs each round.
    await expect.poll(() => count(clients) - before, { interval: 1, timeout: 60_000 }).toBeGreaterThan(round % 17);
    await target.kill();
    await Promise.all(conversations);
    acknowledged += count(clients) - before;
  }
  node = await startNodeProcess(['--llm', 'scripted', '--data-dir', folder.path]);
  for (const client of generations.flat()) await check(node, client);
  expect(acknowledged).toBeGreaterThan(KILLS);
});

const generations: Client[][] = [];
const newClients = (generation: number): Client[] =>
  Array.from({ length: SESSIONS }, (_, i) => ({ session_id: `g${generation}-${i}`, acknowledged: [] }));
const count = (clients: readonly Client[]) => clients.reduce((sum, client) => sum + client.acknowledged.length, 0);

/** API keys in a cluster: made at one node, known at all; revoked at another, over at all; a node that joins late knows both. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ApiKey } from '../../src/access/api-key.ts';
import { KeyFolder } from '../../src/access/key-folder.ts';
import { newKey } from '../../tools/new-key.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;

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

const keysDir = (id: string) => join(folder.path, id, 'keys');

async function start(id: string, peers?: string): Promise<InProcessNode> {
  const node = await startTestNode({
    ...{ nodeId: id, store: 'nats', natsProgram: program, natsListen: '127.0.0.1:0' },
    ...{ dataDir: join(folder.path, id), keysDir: keysDir(id), ...(peers !== undefined && { peers }) },
  });
  nodes.set(id, node);
  return node;
}

const makeKey = (nodeId: string, user: string) => newKey(new KeyFolder(keysDir(nodeId)), { user });

async function revoke(nodeId: string, id: string): Promise<void> {
  const keys = new KeyFolder(keysDir(nodeId));
  await keys.reload();
  await keys.put({ ...(keys.get(id) as ApiKey), revokedAtMs: 1 });
}

async function answers(nodeId: string, key: string, status: number): Promise<void> {
  const headers = { authorization: `Bearer ${key}` };
  await vi.waitFor(
    async () => expect((await nodes.get(nodeId)?.request('GET', '/sessions', { headers }))?.status).toBe(status),
    { timeout: WAIT_MS, interval: 50 },
  );
}

const natsAddress = async (node: InProcessNode) => new URL((await node.get('/nodes')).body.nodes[0].nats_url).host;

test('keys are known where they are not made, and over where they are not revoked', async () => {
  const a = await start('a');
  const peers = `a=${await natsAddress(a)}`;
  await start('b', peers);

  const ada = await makeKey('a', 'ada');
  // Until the first key is there, nobody is asked.
  for (const id of ['a', 'b']) await answers(id, 'none', 401);
  await answers('a', ada.text, 200);
  await answers('b', ada.text, 200);

  const bob = await makeKey('b', 'bob');
  await answers('a', bob.text, 200);

  await revoke('b', ada.kept.id);
  await answers('b', ada.text, 401);
  await answers('a', ada.text, 401);

  await start('c', peers);
  await answers('c', 'none', 401);
  await answers('c', bob.text, 200);
  await answers('c', ada.text, 401);

  // What a key's folder has is enough to go on with, and what the store has is enough to begin with.
  await nodes.get('b')?.close();
  await start('b', peers);
  await answers('b', bob.text, 200);
  await answers('b', ada.text, 401);
});

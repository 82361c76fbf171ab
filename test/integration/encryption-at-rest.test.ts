// Looks for what was said in every file of a node with a real nats-server: as text, of whatever kind, and as the bytes of its records (ids,
// that is). Without encryption it is found in LevelDB and in JetStream, so that the look is one; with it nowhere, whichever key is the
// current one, and also where the folder was in the clear before. Then what must be as ever: sessions, and what a peer gets of them.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { readEncryptionNote } from '../../src/context-store/leveldb/sealing/encryption-note.ts';
import { bytesToPublish } from '../../src/context-store/replication/delta/delta-log.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';
import { CANARIES, CANARY_MODEL, sayEverywhere } from '../support/canaries.ts';
import { filesWith } from '../support/files-with.ts';
import { keyLine, keyRing } from '../support/key-rings.ts';

const CANARY = 'canary-7f3a says where the treasure lies';
const WAIT = { timeout: 60_000, interval: 50 };
/** Of a record's bytes: long enough that it comes up nowhere by chance. */
const SLICE_BYTES = 12;

let folder: ReturnType<typeof temporaryFolder>;
const nodes: InProcessNode[] = [];
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
  folder.remove();
});

async function start(id: string, natsProgram: string, settings: Record<string, unknown> = {}): Promise<InProcessNode> {
  const node = await startTestNode({
    ...{ nodeId: id, store: 'nats', natsProgram, natsListen: '127.0.0.1:0', dataDir: join(folder.path, id) },
    ...settings,
  });
  nodes.push(node);
  return node;
}

async function stop(node: InProcessNode): Promise<void> {
  nodes.splice(nodes.indexOf(node), 1);
  await node.close();
}

function keys(letters: string): Record<string, string> {
  const file = join(folder.path, `keys-${letters}`);
  writeFileSync(file, [...letters].map(keyLine).join('\n'));
  return { encryptionKey: file };
}

async function say(node: InProcessNode): Promise<void> {
  for (const mode of ['raw', 'tokenized']) await node.turn({ prompt: CANARY, session_id: mode, user_id: 'ada', mode });
  await node.post('/v1/chat/completions', { model: 'scripted', messages: [{ role: 'user', content: CANARY }] });
  await published(node);
}

/** What is published lies in JetStream. */
const published = (node: InProcessNode) =>
  vi.waitFor(
    async () => expect((await node.get('/metrics')).text).toMatch(/^discedge_unpublished_records\S* 0$/m),
    WAIT,
  );

const sealed = (id: string) =>
  vi.waitFor(async () => expect((await readEncryptionNote(join(folder.path, id)))?.before).toEqual([]), WAIT);

/** Folders of files in which the canary is, as text or as part of a record. */
async function foundIn(id: string, letters: string): Promise<string[]> {
  const dataDir = join(folder.path, id);
  const needles = [Buffer.from(CANARY), ...(await slicesOfRecords(dataDir, id, letters))];
  return foldersWith(dataDir, ...needles);
}

async function foldersWith(dataDir: string, ...needles: (string | Buffer)[]): Promise<string[]> {
  const found = await filesWith(dataDir, ...needles);
  return [...new Set(found.map((file) => relative(dataDir, file).split('/')[0] as string))].sort();
}

/** Of each kind of text that is there, where. */
async function kindsFoundIn(id: string): Promise<Record<string, readonly string[]>> {
  const found: Record<string, readonly string[]> = {};
  for (const [kind, canary] of CANARIES) {
    const folders = await foldersWith(join(folder.path, id), canary);
    if (folders.length > 0) found[kind] = folders;
  }
  return found;
}

async function slicesOfRecords(dataDir: string, id: string, letters: string): Promise<Buffer[]> {
  const encryption = letters === '' ? undefined : keyRing(...letters);
  const replica = await openReplica(
    { folder: dataDir, nodeId: id as NodeId, bytesMax: 1e9, encryption },
    virtualEnvironment(),
  );
  try {
    const slices: Buffer[] = [];
    for (const { log } of await replica.logs())
      for (const entry of await replica.readLog(log, { after: 0, limit: 100 })) {
        // As the store has it, and in the shorter form in which it is published.
        for (const form of [replica.recordBytes(entry), bytesToPublish(replica, log, entry)]) {
          const bytes = Buffer.from(form as Uint8Array);
          // The end of a record is its contents; what it begins with, ids of users and sessions, stands in LevelDB's keys, too.
          if (bytes.length > 80)
            slices.push(bytes.subarray(bytes.length - 2 * SLICE_BYTES, bytes.length - SLICE_BYTES));
        }
      }
    expect(slices.length).toBeGreaterThan(1);
    return slices;
  } finally {
    await replica.close();
  }
}

test.each(await natsPrograms())(
  'what was said is in no file of an encrypted node ($name)',
  { timeout: 180_000 },
  async ({ path }) => {
    const plain = await start('a', path);
    await say(plain);
    await stop(plain);
    expect(await foundIn('a', '')).toEqual(['leveldb', 'nats']);

    for (const letters of ['a', 'ba', 'b']) {
      const node = await start('a', path, keys(letters));
      await say(node);
      await sealed('a');
      await stop(node);
      expect(await foundIn('a', letters), letters).toEqual([]);
      expect(readdirSync(join(folder.path, 'a', 'nats')).filter((name) => name.startsWith('jetstream'))).toEqual([
        `jetstream-${keyRing(...letters).current?.id}`,
      ]);
    }
  },
);

test('nor is any other text of its users, whatever it was said as', { timeout: 180_000 }, async () => {
  const path = (await natsPrograms())[0]?.path as string;
  const dataDir = join(folder.path, 'a');
  mkdirSync(dataDir);
  const settings = { ...CANARY_MODEL, warming: 'predicted', auditLog: join(dataDir, 'audit.log') };
  const plain = await start('a', path, settings);
  await sayEverywhere(plain, 'before');
  await published(plain);
  await stop(plain);
  const everywhere = [...CANARIES.keys()].map((kind) => [kind, ['leveldb', 'nats']]);
  expect(await kindsFoundIn('a')).toEqual(Object.fromEntries(everywhere));

  const sealing = await start('a', path, { ...settings, ...keys('a') });
  await sayEverywhere(sealing, 'after');
  await published(sealing);
  await sealed('a');
  expect(await kindsFoundIn('a'), 'at work').toEqual({});
  await stop(sealing);
  expect(await kindsFoundIn('a'), 'closed').toEqual({});
  expect(readdirSync(dataDir)).toEqual(expect.arrayContaining(['audit.log', 'movement.json']));

  const again = await start('a', path, { ...settings, ...keys('a') });
  for (const user of ['before', 'after']) {
    const { text } = await again.get(`/users/${user}/export`);
    expect(text).toContain(CANARIES.get('prompt'));
  }
  await stop(again);
  expect(await kindsFoundIn('a'), 'opened again').toEqual({});
});

test('a peer gets what was written before and after a change of keys, each record once', {
  timeout: 180_000,
}, async () => {
  const path = (await natsPrograms())[0]?.path as string;
  const first = await start('a', path, keys('a'));
  await first.turn({ prompt: CANARY, session_id: 's', user_id: 'ada', turn: 1 });
  const natsAt = new URL((await first.get('/nodes')).body.nodes[0].nats_url).host;
  const peers = { peers: `a=${natsAt}` };
  const peer = await start('b', path, peers);
  await vi.waitFor(async () => expect((await peer.get('/sessions/s?user_id=ada')).status).toBe(200), WAIT);
  await stop(first);
  const second = await start('a', path, { ...keys('ba'), natsListen: natsAt });
  await second.turn({ prompt: 'and on', session_id: 's', user_id: 'ada', turn: 2 });
  await peer.turn({ prompt: 'and on', session_id: 's', user_id: 'ada', turn: 3, max_wait_ms: 10_000 });
  expect((await peer.get('/sessions/s?user_id=ada')).body.turns).toHaveLength(3);
});

/*
 * A member of the cluster, let in like any other, that publishes one good record and then rubbish of every kind:
 * `node --import tsx <this> JSON`. Says `joined`, waits for SIGUSR2, and prints how much rubbish it has published, by the
 * reason for which it is to be refused.
 */
import { join } from 'node:path';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { backfillSubject, recordSubject } from '../../src/context-store/nats/names.ts';
import { superviseNatsServer } from '../../src/context-store/nats/server/nats-server-process.ts';
import { natsServerConfig } from '../../src/context-store/nats/server/server-config.ts';
import { openNatsStore } from '../../src/context-store/nats.ts';
import {
  type Incarnation,
  type KeygroupId,
  type NodeId,
  parseClusterName,
  parseNodeId,
} from '../../src/domain/identifiers.ts';
import { RECORD_BYTES_MAX, sealRecord } from '../../src/domain/record/record-codec.ts';
import type { TokenizedPayload } from '../../src/domain/record/turn-record.ts';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { connectAs, tlsOf } from '../supervised-nats.ts';
import { sessionKey, turnRecord } from '../turn-records.ts';
import { textOf } from './roaming-client.ts';

export interface HostilePeerOptions {
  readonly nodeId: string;
  readonly cluster: string;
  readonly keygroup: string;
  readonly host: string;
  readonly port: number;
  readonly folder: string;
  readonly natsProgram: string;
  /** Folder of all certificates; `undefined` on loopback. */
  readonly certs: string | undefined;
  readonly peers: readonly { readonly nodeId: string; readonly url: string }[];
  readonly goodSession: { readonly sessionId: string; readonly userId: string };
}

const STREAM_MAX_AGE_MS = 3_600_000;
const LOOK_EVERY_MS = 20;

const options = JSON.parse(process.argv[2] ?? '') as HostilePeerOptions;
const nodeId = parseNodeId(options.nodeId);
const cluster = parseClusterName(options.cluster);
const keygroup = options.keygroup as KeygroupId;
const tls = options.certs === undefined ? undefined : tlsOf(options.certs, cluster, nodeId);
const environment = nodeEnvironment({ logLevel: 'warn', nodeId });
const peers = options.peers.map((peer) => ({ nodeId: parseNodeId(peer.nodeId), url: peer.url }));

const storeDir = join(options.folder, 'jetstream');
const config = natsServerConfig({
  nodeId,
  listen: { host: options.host, port: options.port },
  storeDir,
  maxFileBytes: 2e8,
  tls,
  peers: peers.map((peer) => peer.nodeId),
}).replace(/^max_payload: \d+/m, `max_payload: ${3 * RECORD_BYTES_MAX}`);
const server = await superviseNatsServer(
  { program: options.natsProgram, folder: options.folder, storeDir, config },
  environment,
);
const replica = await openReplica({ folder: join(options.folder, 'data'), nodeId, bytesMax: 1e9 }, environment);
const { incarnation } = replica;
const store = await openNatsStore(
  {
    replica,
    serverUrl: server.url,
    advertisedUrl: server.url,
    tls,
    cluster,
    peers,
    keygroups: [keygroup],
    streamMaxAgeMs: STREAM_MAX_AGE_MS,
  },
  environment,
);
await until(() => store.sharing.status().peers.every(({ state }) => state === 'connected'));

const { sessionId, userId } = options.goodSession;
const now = environment.clock.now();
const times = { writtenAtMs: now, expiresAtMs: now + STREAM_MAX_AGE_MS };
const own = { origin: nodeId, incarnation };
const ids = [...Buffer.from(textOf(`${sessionId}.1`))] as TokenId[];
const goodTurn = turnRecord({ key: sessionKey(sessionId, userId, keygroup), ...times });
const payload: TokenizedPayload = {
  mode: 'tokenized',
  promptIds: ids,
  replyIds: ids,
  exact: true,
  leadLength: 0,
  spans: [{ role: 'user', start: 0, length: ids.length }],
  replyText: undefined,
};
const good = sealRecord({ ...goodTurn, ...own, payload });
await store.append(good);
await until(() => store.sharing.status().outbox[0]?.published === 1);
const toldToGoOn = new Promise((resolve) => process.once('SIGUSR2', resolve));
process.stdout.write('joined\n');
// Nodes pull from those that they have once accepted, so it must behave until all of them have.
const alive = setInterval(() => {}, STREAM_MAX_AGE_MS);
await toldToGoOn;
clearInterval(alive);
await store.close();

const record = { ...turnRecord({ key: sessionKey('rubbish-1', 'rubbish', keygroup), ...times }), ...own };
const { bytes } = sealRecord(record);
const rubbish: Record<string, readonly Uint8Array[]> = {
  corrupt: [
    Uint8Array.from(bytes, (byte, i) => (i === 40 ? byte ^ 1 : byte)),
    bytes.subarray(0, bytes.length - 1),
    Uint8Array.of(...bytes, 0),
    new Uint8Array(0),
    Buffer.from('{"kind":"turn"}'),
    Uint8Array.from(bytes, (byte, i) => (i === 0 ? 9 : byte)),
  ],
  oversized: [new Uint8Array(RECORD_BYTES_MAX + 1)],
  foreign_keygroup: [sealRecord({ ...record, keygroup: 'ffffffffffffffff' as KeygroupId }).bytes],
  foreign_origin: [
    sealRecord({ ...record, origin: peers[0]?.nodeId as NodeId }).bytes,
    sealRecord({ ...record, incarnation: 'ffffffff' as Incarnation }).bytes,
  ],
};
const nats = await connectAs({ url: server.url, nodeId, ...(tls && { tls }) });
let originSequence = 1;
for (const message of Object.values(rubbish).flat()) {
  nats.publish(recordSubject({ keygroup, nodeId, originSequence: ++originSequence }), message);
}
await nats.flush();
// Requests that are none, to the nodes themselves.
for (const { nodeId: peer, url } of peers) {
  const there = await connectAs({ url, nodeId, ...(tls && { tls }) });
  for (const noise of [
    new Uint8Array(0),
    Buffer.from('{'),
    Buffer.from('{"kind":"hello"}'),
    bytes,
    new Uint8Array(1e6),
  ])
    there.publish(backfillSubject(peer), noise);
  await there.flush();
  await there.close();
}
const counts = Object.fromEntries(Object.entries(rubbish).map(([reason, messages]) => [reason, messages.length]));
process.stdout.write(`published ${JSON.stringify(counts)}\n`);

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
}

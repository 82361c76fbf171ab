// The process that bench:replication starts at each end: a nats-server with mutual TLS and a store that shares its records
// through it. Does what its parent says, and answers with times of the machine's monotonic clock.
import { join } from 'node:path';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { superviseNatsServer } from '../../src/context-store/nats/server/nats-server-process.ts';
import { natsServerConfig } from '../../src/context-store/nats/server/server-config.ts';
import { type NatsStore, openNatsStore } from '../../src/context-store/nats.ts';
import { deltaBytes } from '../../src/context-store/replication/delta/delta-record.ts';
import type { ClusterName, ContextId, KeygroupId, NodeId, RequestDigest } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import type { TurnRecord } from '../../src/domain/record/turn-record.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';

export interface ReplicationNodeOptions {
  readonly nodeId: string;
  readonly host: string;
  readonly folder: string;
  readonly certificates: string;
  readonly natsServer: string;
  /** Nodes that this one's server lets in. */
  readonly letIn: readonly string[];
}

/** What a record says beside what its writer adds: who, where, when. */
export type WrittenTurn = Pick<TurnRecord, 'sessionId' | 'userId' | 'turn' | 'stop' | 'sampling' | 'payload'>;

export interface Commands {
  start(): { url: string };
  /** Opens the store; resolves when every peer is connected. */
  open(peers: { nodeId: string; url: string }[]): void;
  close(): void;
  /** Appends one turn after the session's last. */
  append(turn: WrittenTurn): Appended;
  /** Seals all, then appends them, so many at once. */
  appendAll(turns: WrittenTurn[], atOnce: number): { firstMs: number; lastMs: number; hashes: ContextId[] };
  /** Resolves when all these have arrived, with the time of the last. */
  arrivedAll(hashes: ContextId[]): { lastMs: number };
  arrivalTimes(): Record<ContextId, number>;
  /** Payloads of messages between this node and its peers, since the store was opened. */
  carriedBytes(): number;
}

export interface Appended {
  readonly hash: ContextId;
  /** When the append had resolved. */
  readonly atMs: number;
  readonly recordBytes: number;
  readonly sentBytes: number;
}

const KEYGROUP = '5e1f3a7092c4d8b6' as KeygroupId;
const CLUSTER = 'bench' as ClusterName;
const DAY_MS = 86_400_000;
const PEERS_LOOK_MS = 20;

const options = JSON.parse(process.argv[2] as string) as ReplicationNodeOptions;
const nodeId = options.nodeId as NodeId;
const environment = nodeEnvironment({ logLevel: 'error', nodeId });
const certificates = join(options.certificates, nodeId);
const tls = {
  certFile: join(certificates, 'node.crt'),
  keyFile: join(certificates, 'node.key'),
  caFile: join(certificates, 'ca.crt'),
};
let server: Awaited<ReturnType<typeof superviseNatsServer>>;
let store: NatsStore | undefined;
const tips = new Map<string, SealedRecord>();
const arrivals = new Map<ContextId, number>();
let onArrival = () => {};

const commands: { [Name in keyof Commands]: (...args: never[]) => Promise<ReturnType<Commands[Name]>> } = {
  async start() {
    const storeDir = join(options.folder, 'jetstream');
    const config = natsServerConfig({
      nodeId,
      listen: { host: options.host, port: 0 },
      storeDir,
      maxFileBytes: 1_000_000_000,
      tls: { ...tls, cluster: CLUSTER },
      peers: options.letIn as NodeId[],
    });
    server = await superviseNatsServer(
      { program: options.natsServer, folder: options.folder, storeDir, config },
      environment,
    );
    const { port } = server;
    return { url: `nats://${options.host}:${port}` };
  },

  async open(peers: { nodeId: NodeId; url: string }[]) {
    const replica = await openReplica(
      { folder: join(options.folder, 'replica'), nodeId, bytesMax: 4_000_000_000 },
      environment,
    );
    const opened = await openNatsStore(
      {
        replica,
        serverUrl: `nats://${options.host}:${server.port}`,
        tls,
        cluster: CLUSTER,
        peers,
        keygroups: [KEYGROUP],
        streamMaxAgeMs: 2 * DAY_MS,
      },
      environment,
    );
    opened.onRecord(({ hash }, from) => {
      if (from === 'here') return;
      arrivals.set(hash, nowMs());
      onArrival();
    });
    store = opened;
    while (opened.sharing.status().peers.some(({ state }) => state !== 'connected'))
      await new Promise((resolve) => setTimeout(resolve, PEERS_LOOK_MS));
  },

  async close() {
    await store?.close();
    store = undefined;
  },

  async append(turn: WrittenTurn) {
    const parent = tips.get(turn.sessionId);
    const sealed = seal(turn);
    await isOpen(store).append(sealed);
    const atMs = nowMs();
    const delta = deltaBytes(sealed, parent && { distance: 1, sealed: parent });
    return { hash: sealed.hash, atMs, recordBytes: sealed.bytes.length, sentBytes: delta.length };
  },

  async appendAll(turns: WrittenTurn[], atOnce: number) {
    const sealed = turns.map(seal);
    const opened = isOpen(store);
    const firstMs = nowMs();
    let next = 0;
    const work = async () => {
      while (next < sealed.length) await opened.append(sealed[next++] as SealedRecord);
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    return { firstMs, lastMs: nowMs(), hashes: sealed.map(({ hash }) => hash) };
  },

  async arrivedAll(hashes: ContextId[]) {
    while (!hashes.every((hash) => arrivals.has(hash)))
      await new Promise<void>((resolve) => {
        onArrival = resolve;
      });
    return { lastMs: Math.max(...hashes.map((hash) => arrivals.get(hash) as number)) };
  },

  async arrivalTimes() {
    return Object.fromEntries(arrivals) as Record<ContextId, number>;
  },

  async carriedBytes() {
    const peers = store?.sharing.status().peers ?? [];
    return peers.reduce((total, { bytesIn, bytesOut }) => total + bytesIn + bytesOut, 0);
  },
};

function seal(turn: WrittenTurn): SealedRecord {
  const parent = turn.turn === 1 ? undefined : tips.get(turn.sessionId);
  const writtenAtMs = environment.clock.now();
  const sealed = sealRecord({
    kind: 'turn',
    ...turn,
    keygroup: KEYGROUP,
    origin: nodeId,
    incarnation: isOpen(store).incarnation,
    writtenAtMs,
    expiresAtMs: writtenAtMs + DAY_MS,
    parent: parent?.hash,
    requestDigest: Buffer.from(environment.random.bytes(8)).toString('hex') as RequestDigest,
    contextStart: 1 as TurnRecord['contextStart'],
  });
  tips.set(turn.sessionId, sealed);
  return sealed;
}

function isOpen(maybe: NatsStore | undefined): NatsStore {
  if (maybe === undefined) throw new Error('the store is closed');
  return maybe;
}

function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

process.on('message', ({ id, name, args }: { id: number; name: keyof Commands; args: never[] }) => {
  commands[name](...args).then(
    (result) => process.send?.({ id, result }),
    (error) => process.send?.({ id, error: String(error?.stack ?? error) }),
  );
});
process.on('disconnect', async () => {
  await store?.close();
  await server?.stop();
  process.exit();
});

// npm run bench:replication [-- --quick --pace MS --idle S --records N --rows FILE --fred HOST:PORT,HOST:PORT --certs DIR]
//
// What replication costs on the wire and how long it takes: the paper's nine turns between two stores, each with its own
// nats-server, over mutual TLS. The two ends are network namespaces joined by one cable, and what is counted is every IP
// packet on it, both ways, once the connection stands. Where namespaces are not allowed, it says so and counts the payloads
// of NATS messages. The far end pulls from the near end; nothing is pulled the other way. Then the same turns through the paper's
// own store, in its way and in ours: on the double of FReD, and before that on real nodes where --fred names them.
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeAuthority, makeNodeCertificate } from '../src/certificates/certificates.ts';
import type { ClusterName, NodeId } from '../src/domain/identifiers.ts';
import { natsPrograms } from '../tools/real-servers/nats-programs.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { benchFredDoubles, benchFredNodes } from './support/fred/bench-fred.ts';
import { JoinedNamespaces, namespacesAllowed, runInNamespace, type Traffic } from './support/joined-namespaces.ts';
import { type MeasuredSession, printedBytes, type SessionBytes } from './support/replication-bytes.ts';
import type { Appended, WrittenTurn } from './support/replication-node.ts';
import { ReplicationNodeHandle } from './support/replication-node-handle.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { type Mode, type Portion, WrittenSessions } from './support/written-session.ts';

const SEED = 1;
const VARIANTS: readonly (readonly [Mode, Portion])[] = [
  ['tokenized', 'delta'],
  ['tokenized', 'whole'],
  ['raw', 'delta'],
  ['raw', 'whole'],
];
/** A node pings its peer's server so often; a session is timed to lie between two pings, which the idle traffic counts. */
const KEEP_ALIVE_MS = 14_000;
const LOOK_MS = 50;
/** After a connection was made, or a keep-alive, the last packet has come by then. */
const SETTLE_MS = 500;
/** Turns in a session of the load that is applied for speed. */
const TURNS_A_SESSION = 9;
const APPENDS_AT_ONCE = 64;
const DELAY_PACE_MS = 25;
const [NEAR, FAR] = ['e1', 'e2'];
const LOOPBACK = '127.0.0.1';
/** Nothing is known of keep-alives before one was seen. */
let nextKeepAliveMs = Number.NEGATIVE_INFINITY;

const values = benchmarkFlags('replication', {
  quick: { type: 'boolean', default: false, help: 'everything small, for a smoke test' },
  pace: { type: 'string', help: 'MS between two turns (default: 1500)', isNumber: true },
  idle: { type: 'string', help: 'SECONDS that idle traffic is counted (default: 60)', isNumber: true },
  records: { type: 'string', help: 'RECORDS for the speed of catching up (default: 10000)', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
  fred: { type: 'string', help: 'HOSTS of two FReD nodes that run, HOST:PORT,HOST:PORT' },
  certs: { type: 'string', help: 'DIR that "discedge certs fred" made, for --fred' },
  'fred-peer-ports': { type: 'string', help: 'PORTS of those nodes for their peers, on this machine, to count bytes' },
  'nats-server': { type: 'string', help: 'PROGRAM to use (default: as the tests find it)' },
  'in-namespace': { type: 'boolean', default: false, help: '' },
});
const paceMs = Number(values.pace ?? (values.quick ? 100 : 1_500));
const idleSeconds = Number(values.idle ?? (values.quick ? 0 : 60));
const records = Number(values.records ?? (values.quick ? 200 : 10_000));
const delaySamples = values.quick ? 20 : 400;
const fredScale = { paceMs, delaySamples, delayPaceMs: DELAY_PACE_MS, records };

const natsServer = values['nats-server'] ?? ((await natsPrograms())[0]?.path as string);
const info = {
  ...runInfo('replication', SEED),
  natsServer: execFileSync(natsServer, ['--version'], { encoding: 'utf8' }).trim().replace(/^.*v/, ''),
  replies: 'written transcript, Qwen2 vocabulary',
  /** Processes that wanted to run when it began: what else the machine had to do. */
  load: rounded(loadavg()[0] as number, 1),
};
const rows: object[] = [];
if (values.fred !== undefined && !values['in-namespace']) {
  const { fred, certs, 'fred-peer-ports': peerPorts } = values;
  addRows(
    await benchFredNodes({ fred, certs, peerPorts }, { sessions: await WrittenSessions.load(), scale: fredScale }),
  );
  writeRows();
}
if (!values['in-namespace'] && namespacesAllowed()) {
  const words = [...process.argv.slice(2), '--in-namespace', '--nats-server', natsServer];
  process.exit(await runInNamespace([fileURLToPath(import.meta.url), ...words]));
}
const cable = values['in-namespace'] ? await JoinedNamespaces.make() : undefined;
const counted = cable === undefined ? 'message-payloads' : 'ip-packets';
const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-bench-'));
const ends: ReplicationNodeHandle[] = [];
try {
  console.log(
    `${info.machine}, Node ${info.node}, nats-server ${info.natsServer}, commit ${info.commit}${info.dirty ? ' with changes' : ''}, load ${info.load}; turns ${paceMs} ms apart`,
  );
  if (cable === undefined)
    console.log('Network namespaces are not allowed here: only the payloads of NATS messages are counted.');
  const { near, far, url } = await startEnds();
  const sessions = await WrittenSessions.load();
  if (idleSeconds > 0) await measureIdle(far);
  const measured = [];
  for (const [mode, portion] of VARIANTS) {
    const session = sessions.session(mode, portion);
    measured.push({ mode, portion, stream: 'new', ...(await measureBytes(near, far, session)) });
  }
  await measureDelay(near, far, sessions);
  await measureSpeed(near, far, { sessions, url });
  // Sequences have more digits by now, and each record carries five of them.
  const later = await measureBytes(near, far, sessions.session('tokenized', 'delta'));
  measured.push({ mode: 'tokenized', portion: 'delta', stream: `${2 * records} records`, ...later } as const);
  printBytes(measured);
  addRows(await benchFredDoubles({ ownsNetwork: cable !== undefined }, { sessions, scale: fredScale }));
} finally {
  await Promise.all(ends.map((end) => end.end()));
  cable?.end();
  rmSync(folder, { recursive: true, force: true });
}
writeRows();

function addRows(more: readonly object[]): void {
  rows.push(...more.map((row) => ({ ...info, ...row })));
}

/** Those that are not written yet. */
function writeRows(): void {
  if (values.rows === undefined) return;
  const written = rows.splice(0).map((row) => `${JSON.stringify(row)}\n`);
  appendFileSync(resolve(values.rows), written.join(''));
  console.log(`\n${written.length} rows appended to ${values.rows}`);
}

/** One session, turn by turn, between two keep-alives: what the line carried for each turn, and how large the turn was. */
async function measureBytes(
  near: ReplicationNodeHandle,
  far: ReplicationNodeHandle,
  session: readonly WrittenTurn[],
): Promise<SessionBytes> {
  await quietFor(far, (session.length - 1) * paceMs + SETTLE_MS);
  const wireBytesByTurn: number[] = [];
  const appended: Appended[] = [];
  const first = await count(far);
  let before = first;
  for (const [index, turn] of session.entries()) {
    const endMs = performance.now() + (index === session.length - 1 ? SETTLE_MS : paceMs);
    const one = await near.ask('append', turn);
    await far.ask('arrivedAll', [one.hash]);
    await pause(endMs - performance.now());
    const after = await count(far);
    wireBytesByTurn.push(after.bytes - before.bytes);
    appended.push(one);
    before = after;
  }
  const sentBytesByTurn = appended.map(({ sentBytes }) => sentBytes);
  return {
    turns: session.length,
    recordBytes: sum(appended.map(({ recordBytes }) => recordBytes)),
    sentBytes: sum(sentBytesByTurn),
    wireBytes: before.bytes - first.bytes,
    packets: before.packets - first.packets,
    wireBytesByTurn,
    sentBytesByTurn,
  };
}

function printBytes(measured: readonly MeasuredSession[]): void {
  for (const line of printedBytes(measured, counted)) rows.push({ ...info, part: 'bytes', counted, paceMs, ...line });
}

/** What the connection carries when nothing is written. */
async function measureIdle(far: ReplicationNodeHandle): Promise<void> {
  await quietFor(far, 0);
  const before = await count(far);
  await pause(idleSeconds * 1_000);
  const bytesPerMinute = Math.round((((await count(far)).bytes - before.bytes) * 60) / idleSeconds);
  console.log(`\nIdle: ${bytesPerMinute} bytes a minute, both ways (${counted})`);
  rows.push({ ...info, part: 'idle', counted, seconds: idleSeconds, bytesPerMinute });
}

/** From the moment that an append has resolved here until the record is durable there and its watchers know. */
async function measureDelay(
  near: ReplicationNodeHandle,
  far: ReplicationNodeHandle,
  sessions: WrittenSessions,
): Promise<void> {
  const appended: Appended[] = [];
  for (const turn of sessions.session('tokenized', 'delta', delaySamples)) {
    appended.push(await near.ask('append', turn));
    await pause(DELAY_PACE_MS);
  }
  await far.ask(
    'arrivedAll',
    appended.map(({ hash }) => hash),
  );
  const times = await far.ask('arrivalTimes');
  const delays = appended.map(({ hash, atMs }) => (times[hash] as number) - atMs);
  const delay = { p50Ms: rounded(quantile(delays, 0.5)), p99Ms: rounded(quantile(delays, 0.99)) };
  console.log(
    `\nAppended here to applied there, ${delaySamples} turns ${DELAY_PACE_MS} ms apart: ${delay.p50Ms} ms (p50), ${delay.p99Ms} ms (p99)`,
  );
  rows.push({ ...info, part: 'delay', turns: delaySamples, ...delay });
}

/** Records a second while both ends are up, and how long the far end takes for as many that were written while it was away. */
async function measureSpeed(
  near: ReplicationNodeHandle,
  far: ReplicationNodeHandle,
  { sessions, url }: { sessions: WrittenSessions; url: string },
): Promise<void> {
  const load = () =>
    Array.from({ length: Math.ceil(records / TURNS_A_SESSION) }, () =>
      sessions.session('tokenized', 'delta', TURNS_A_SESSION),
    )
      .flat()
      .slice(0, records);
  const live = await near.ask('appendAll', load(), APPENDS_AT_ONCE);
  const { lastMs } = await far.ask('arrivedAll', live.hashes);
  await far.ask('close');
  const away = await near.ask('appendAll', load(), APPENDS_AT_ONCE);
  const before = await count(far);
  const openedMs = performance.now();
  await far.ask('open', [{ nodeId: NEAR, url }]);
  nextKeepAliveMs = Number.NEGATIVE_INFINITY;
  await far.ask('arrivedAll', away.hashes);
  const catchUpMs = performance.now() - openedMs;
  const speed = {
    records,
    appendedPerSecond: Math.round((records * 1_000) / (live.lastMs - live.firstMs)),
    livePerSecond: Math.round((records * 1_000) / (lastMs - live.firstMs)),
    catchUpMs: Math.round(catchUpMs),
    catchUpWireBytes: (await count(far)).bytes - before.bytes,
  };
  console.log(
    `\n${records} records: ${speed.livePerSecond}/s live (${speed.appendedPerSecond}/s appended at the origin); caught up with as many in ${speed.catchUpMs} ms, opening included, ${speed.catchUpWireBytes} bytes`,
  );
  rows.push({ ...info, part: 'speed', counted, ...speed });
}

async function startEnds(): Promise<{ near: ReplicationNodeHandle; far: ReplicationNodeHandle; url: string }> {
  const certificates = join(folder, 'certificates');
  await makeAuthority({ dir: certificates, cluster: 'bench' as ClusterName, days: 1, force: false });
  const start = async (nodeId: string, { host, peer, enter }: { host: string; peer: string; enter: string[] }) => {
    await makeNodeCertificate({ dir: certificates, nodeId: nodeId as NodeId, hosts: [host], days: 1, force: false });
    const options = { nodeId, host, folder: join(folder, nodeId), certificates, natsServer, letIn: [peer] };
    const end = new ReplicationNodeHandle(options, enter);
    ends.push(end);
    return end;
  };
  const near = await start(NEAR, { host: cable?.near ?? LOOPBACK, peer: FAR, enter: [] });
  const far = await start(FAR, { host: cable?.far ?? LOOPBACK, peer: NEAR, enter: cable?.enterFar() ?? [] });
  const { url } = await near.ask('start');
  await far.ask('start');
  await near.ask('open', []);
  await far.ask('open', [{ nodeId: NEAR, url }]);
  return { near, far, url };
}

async function count(far: ReplicationNodeHandle): Promise<Traffic> {
  return cable?.traffic() ?? { packets: 0, bytes: await far.ask('carriedBytes') };
}

/** Resolves when nothing but what is written from now on will be on the line for so long. */
async function quietFor(far: ReplicationNodeHandle, ms: number): Promise<void> {
  if (performance.now() + ms < nextKeepAliveMs) return;
  await settled(far);
  // Only packets tell of keep-alives.
  if (cable === undefined) return;
  const { bytes } = await count(far);
  while ((await count(far)).bytes === bytes) await pause(LOOK_MS);
  nextKeepAliveMs = performance.now() + KEEP_ALIVE_MS - SETTLE_MS;
  await settled(far);
}

async function settled(far: ReplicationNodeHandle): Promise<void> {
  let before = -1;
  for (let now = (await count(far)).bytes; now !== before; now = (await count(far)).bytes) {
    before = now;
    await pause(SETTLE_MS);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

// npm run bench:peers -- [--python PATH] [--rounds N] [--seconds N] [--rows FILE]
//
// A conversation through DisCEdge and through others that keep history in front of an LLM, all before the same instant LLM on
// this machine: what each adds to a turn, carries, writes and promises. Rounds in changing order, medians of rounds.
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { accountOf } from './peers/accounting.ts';
import { DIRECT, edgeNode, pythonPeers } from './peers/all-peers.ts';
import { CONVERSATION_TURNS, converse, converseAll, said, withClient } from './peers/conversations.ts';
import { type Peer, RESPONSES_SPEECH, type RunningPeer } from './peers/peer.ts';
import { type Promises, tryPromises } from './peers/promises.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { type InstantLlm, startInstantLlm } from './support/instant-llm/instant-llm.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const CLIENTS = 16;
const WARM_UP_CONVERSATIONS = 40;
const CONVERSATIONS_A_ROUND = 10;
const LONG_TURNS = 200;
/** What is looked at, at both ends of a long conversation. */
const LONG_PART = 20;
const SEED = 1;

const values = benchmarkFlags('peers', {
  python: { type: 'string', default: 'python3', help: 'PATH of the Python that installs the others' },
  rounds: { type: 'string', default: '5', help: 'ROUNDS in which all are measured', isNumber: true },
  seconds: { type: 'string', default: '3', help: 'SECONDS of load in each', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const rounds = Number(values.rounds);
const elapsedMs = Number(values.seconds) * 1000;
const info = runInfo('peers', SEED);

interface Contestant {
  readonly peer: Peer;
  readonly running: RunningPeer;
  readonly rssStartMiB: number;
  readonly rounds: Round[];
}

/** What one round has shown of one of them. */
interface Round {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly turnsPerSecond: number;
  readonly cpuMs: number;
  readonly writtenBytes: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-peers-'));
const skip = (name: string, why: string) => console.log(`${name} is left out: ${why}`);
const llm = await startInstantLlm();
const contestants: Contestant[] = [];
try {
  console.log(
    `${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}, load before ${info.loadBefore}\n`,
  );
  const peers = [
    DIRECT,
    edgeNode(info.commit),
    edgeNode(info.commit, RESPONSES_SPEECH),
    ...(await pythonPeers(values.python, skip)),
  ];
  for (const peer of peers) {
    const contestant = await entered(peer, llm);
    if (contestant !== undefined) contestants.push(contestant);
  }
  for (let round = 0; round < rounds; round++) {
    const order = contestants.map((_, i) => contestants[(i + round) % contestants.length] as Contestant);
    for (const contestant of order) contestant.rounds.push(await playRound(contestant));
  }
  const measured = contestants.map((one) => measuredOf(one, contestants[0] as Contestant));
  await Promise.all(contestants.map(({ running }) => running.kill()));
  const promises: Array<{ peer: string } & Promises> = [];
  for (const { peer } of contestants.slice(1)) {
    const own = join(folder, `promises-${promises.length}`);
    promises.push({ peer: peer.name, ...(await tryPromises(peer, llm, own)) });
  }
  report(measured, promises);
} finally {
  await Promise.all(contestants.map(({ running }) => running.kill()));
  await llm.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Started and warmed up; `undefined` where it does not start or does not answer, which is said. */
async function entered(peer: Peer, instant: InstantLlm): Promise<Contestant | undefined> {
  const own = join(folder, String(contestants.length));
  mkdirSync(own, { recursive: true });
  const started = await peer.start({ llm: instant, folder: own }).catch((error: Error) => error);
  if (started instanceof Error) {
    skip(peer.name, started.message.split('\n')[0] as string);
    return undefined;
  }
  const { status } = await said(peer.speech, started, peer.speech.open(`first-${contestants.length}`).ask('Hello.'));
  if (status !== 200) {
    skip(peer.name, `it answers a turn with ${status}`);
    await started.kill();
    return undefined;
  }
  const { rssMiB: rssStartMiB } = accountOf(started.pid);
  await withClient(started.port, async (client) => {
    for (let i = 0; i < WARM_UP_CONVERSATIONS; i++) await converse(peer.speech, client);
  });
  return { peer, running: started, rssStartMiB, rounds: [] };
}

async function playRound({ peer: { speech }, running: { pid, port } }: Contestant): Promise<Round> {
  const before = accountOf(pid);
  const { single, long } = await withClient(port, async (client) => {
    const times: number[] = [];
    for (let i = 0; i < CONVERSATIONS_A_ROUND; i++) times.push(...(await converse(speech, client)));
    return { single: times, long: await converse(speech, client, LONG_TURNS) };
  });
  const written = accountOf(pid).writtenBytes - before.writtenBytes;
  const loaded = accountOf(pid);
  const load = await converseAll({ speech, port }, { clients: CLIENTS, elapsedMs });
  return {
    p50Ms: quantile(single, 0.5),
    p99Ms: quantile(single, 0.99),
    turnsPerSecond: (load.turns * 1000) / load.elapsedMs,
    cpuMs: (accountOf(pid).cpuMs - loaded.cpuMs) / load.turns,
    writtenBytes: written / (single.length + long.length),
    firstMs: quantile(long.slice(0, LONG_PART), 0.5),
    lastMs: quantile(long.slice(-LONG_PART), 0.5),
  };
}

function measuredOf({ peer, running, rssStartMiB, rounds: played }: Contestant, direct: Contestant) {
  const median = (value: (round: Round, i: number) => number, digits = 2) =>
    rounded(quantile(played.map(value), 0.5), digits);
  const directly = (i: number) => direct.rounds[i] as Round;
  return {
    peer: peer.name,
    version: peer.version,
    p50Ms: median(({ p50Ms }) => p50Ms),
    addedP50Ms: median(({ p50Ms }, i) => p50Ms - directly(i).p50Ms),
    addedP99Ms: median(({ p99Ms }, i) => p99Ms - directly(i).p99Ms),
    turnsPerSecond16: median(({ turnsPerSecond }) => turnsPerSecond, 0),
    cpuMsPerTurn: median(({ cpuMs }) => cpuMs, 3),
    writtenBytesPerTurn: median(({ writtenBytes }) => writtenBytes, 0),
    turn200ToTurn1: median(({ firstMs, lastMs }) => lastMs / firstMs),
    rssStartMiB,
    rssEndMiB: accountOf(running.pid).rssMiB,
  };
}

function report(
  measured: ReadonlyArray<ReturnType<typeof measuredOf>>,
  promises: ReadonlyArray<{ peer: string } & Promises>,
) {
  console.log(
    `Conversations of ${CONVERSATION_TURNS} turns, one client; turns a second and CPU with ${CLIENTS}; added = beyond the LLM alone; turn ${LONG_TURNS} to turn 1 in one conversation`,
  );
  const columns = Object.keys(measured[0] as object) as Array<keyof (typeof measured)[number]>;
  console.log(`${table(measured, columns)}\n`);
  console.log(
    table(promises, ['peer', 'sentTwice', 'sentTwiceAtOnce', 'twoTurnsAtOnce', 'afterKill9', 'syncsPerTurn']),
  );
  if (values.rows === undefined) return;
  const rows = [
    ...measured.map((row) => ({ part: 'turns', ...row })),
    ...promises.map((row) => ({ part: 'promises', ...row })),
  ];
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify({ ...info, ...row })}\n`).join(''));
  console.log(`\n${rows.length} rows appended to ${values.rows}`);
}

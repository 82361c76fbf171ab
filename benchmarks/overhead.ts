// npm run bench:overhead [-- --seconds N --rows FILE]
//
// What DisCEdge adds to a turn, in one run: the same requests to a bare HTTP server of the same framework, to a node with the
// memory store and to one with the durable store (every reply on disk before it is complete), with an LLM in the process that
// costs nothing; then to an instant LLM behind HTTP, straight and through a node in front of it. What is compared takes turns
// in slices of half a second. Beside every time stands the CPU time of the server's process, which other load disturbs least.
import { execFileSync } from 'node:child_process';
import { appendFileSync, closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchmarkFlags } from './support/arguments.ts';
import { startInstantLlm } from './support/instant-llm/instant-llm.ts';
import { KeepAliveClient } from './support/keep-alive-client.ts';
import { alternated, type Contestant, type Measured } from './support/overhead/alternated.ts';
import { type ManySessions, manySessions } from './support/overhead/many-sessions.ts';
import { MeasuredServer } from './support/overhead/measured-server.ts';
import { targets } from './support/overhead/targets.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';
import { loadWithTurns, turnBody } from './support/turn-load.ts';

const CLIENTS = [1, 16, 64];
const CLIENTS_IN_FRONT = [1, 16];
const LONG_SESSION_TURNS = 1000;
const LONG_SESSIONS = 6;
/** Turns looked at together, so that one stall does not decide a figure. */
const STAGES = { 'turn 1': [1, 10], 'turn 100': [95, 104], 'turn 1000': [991, 1000] } as const;
/** V8 has compiled what is hot by then. */
const WARM_UP_TURNS = 5_000;
/** As the node's replies in the other part; a stream has an event for each. */
const REPLY_TOKENS = 32;
/** The node's default. */
const CACHE_MIB = 256;
const SEED = 1;
const COLUMNS = [
  ...(['variant', 'clients', 'turnsPerSecond', 'p50Ms', 'p99Ms'] as const),
  ...(['addedP50Ms', 'addedP99Ms', 'cpuMsATurn', 'bytesWrittenATurn'] as const),
];

const values = benchmarkFlags('overhead', {
  seconds: { type: 'string', default: '6', help: 'SECONDS a row', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const elapsedMs = Number(values.seconds) * 1000;
const info = runInfo('overhead', SEED);
const rows: object[] = [];

/** On the disk that is measured: the project's own, not a RAM disk. */
const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-bench-'));
try {
  console.log(
    `${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}; ${values.seconds} s a row\n`,
  );
  const floor = fsyncFloor();
  console.log(
    `Floor of a durable turn: one 4 KiB write and fdatasync takes ${floor.p50Ms} ms (p50), ${floor.p99Ms} ms (p99)\n`,
  );
  rows.push({ ...info, part: 'fsync-floor', ...floor });
  const load = [...(await measureLoad()), ...(await measureInFront())];
  await measureLength();
  const sessions = await measureSessions();
  const reached = targets(load, sessions);
  console.log('\nWhat a turn is to cost');
  console.log(table(reached, ['target', 'to', 'measured', 'reached']));
  rows.push(...reached.map((row) => ({ ...info, part: 'target', ...row })));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  console.log(`\n${rows.length} rows appended to ${values.rows}`);
}

/** Turns at 1, 16 and 64 clients, each client in sessions of its own. */
async function measureLoad(): Promise<Measured[]> {
  const contestants = await Promise.all(
    (['bare', 'memory', 'durable'] as const).map(async (variant): Promise<Contestant> => {
      const store = variant === 'bare' ? undefined : variant;
      return nodeContestant(variant, await MeasuredServer.start({ store, dataDir: join(folder, variant) }));
    }),
  );
  const measured = await playedAmong(contestants, CLIENTS);
  console.log('Turns of 65-byte messages and 128-id replies; added = beyond the bare server at as many clients');
  report('load', measured);
  return measured;
}

/** The same in front of an LLM behind HTTP; added = beyond the same requests to it without a node. */
async function measureInFront(): Promise<Measured[]> {
  const llm = await startInstantLlm({ replyTokens: REPLY_TOKENS, slots: Math.max(...CLIENTS_IN_FRONT) });
  const server = await MeasuredServer.start({ store: 'durable', llm: llm.url, dataDir: join(folder, 'in-front') });
  try {
    const straight = (variant: string, stream: boolean): Contestant => ({
      variant,
      server: undefined,
      load: (clients, sliceMs) => loadWithTurns(llm.port, clients, { elapsedMs: sliceMs, stream }),
    });
    const whole = await playedAmong(
      [straight('straight', false), nodeContestant('in front', server)],
      CLIENTS_IN_FRONT,
      { stop: false },
    );
    const streamed = await playedAmong(
      [straight('straight, stream', true), nodeContestant('in front, stream', server, { stream: true })],
      CLIENTS_IN_FRONT,
      { stop: false },
    );
    console.log(
      `\nIn front of an instant llama-server with ${REPLY_TOKENS}-id replies; added = beyond asking it straight`,
    );
    report('in-front', [...whole, ...streamed]);
    return [...whole, ...streamed];
  } finally {
    await server.stop();
    await llm.stop();
  }
}

function nodeContestant(variant: string, server: MeasuredServer, { stream = false } = {}): Contestant {
  return {
    variant,
    server,
    load: (clients, sliceMs) => loadWithTurns(server.port, clients, { elapsedMs: sliceMs, stream }),
  };
}

async function playedAmong(
  contestants: readonly Contestant[],
  clientCounts: readonly number[],
  { stop = true } = {},
): Promise<Measured[]> {
  try {
    for (const { server, load } of contestants) {
      if (server === undefined) await load(1, elapsedMs / 4);
      else await loadWithTurns(server.port, 4, { turns: WARM_UP_TURNS });
    }
    const measured: Measured[] = [];
    for (const clients of clientCounts) measured.push(...(await alternated(contestants, { clients, elapsedMs })));
    return measured;
  } finally {
    if (stop) for (const { server } of contestants) await server?.stop();
  }
}

function report(part: string, measured: readonly Measured[]): void {
  console.log(table(measured, COLUMNS));
  rows.push(...measured.map((row) => ({ ...info, part, ...row })));
}

/** Time per turn at the 1st, 100th and 1,000th turn of a session, one client. */
async function measureLength(): Promise<void> {
  const measured: Array<{ variant: string; stage: string; p50Ms: number; p99Ms: number; toTurn1: number }> = [];
  for (const store of ['memory', 'durable'] as const) {
    const server = await MeasuredServer.start({ store, dataDir: join(folder, `long-${store}`) });
    try {
      await loadWithTurns(server.port, 4, { turns: WARM_UP_TURNS });
      const byTurn = await longSessions(server.port);
      let first: number | undefined;
      for (const [stage, [from, to]] of Object.entries(STAGES)) {
        const samples = byTurn.slice(from, to + 1).flat();
        const p50Ms = quantile(samples, 0.5);
        first ??= p50Ms;
        const p99Ms = rounded(quantile(samples, 0.99));
        measured.push({ variant: store, stage, p50Ms: rounded(p50Ms), p99Ms, toTurn1: rounded(p50Ms / first) });
      }
    } finally {
      await server.stop();
    }
  }
  console.log(
    `\nTime per turn along a session of ${LONG_SESSION_TURNS} turns (about 210,000 ids), one client, ${LONG_SESSIONS} sessions`,
  );
  console.log(table(measured, ['variant', 'stage', 'p50Ms', 'p99Ms', 'toTurn1']));
  rows.push(...measured.map((row) => ({ ...info, part: 'length', ...row })));
}

async function longSessions(port: number): Promise<number[][]> {
  const client = await KeepAliveClient.open({ host: '127.0.0.1', port });
  const byTurn: number[][] = Array.from({ length: LONG_SESSION_TURNS + 1 }, () => []);
  for (let session = 0; session < LONG_SESSIONS; session++) {
    for (let turn = 1; turn <= LONG_SESSION_TURNS; turn++) {
      const startedMs = performance.now();
      await client.post('/completion', turnBody(`long-${session}`, turn));
      byTurn[turn]?.push(performance.now() - startedMs);
    }
  }
  client.close();
  return byTurn;
}

/** Memory of the built command line, which a user starts. */
async function measureSessions(): Promise<ManySessions> {
  execFileSync('npm', ['run', 'build:node', '--silent'], { cwd: fileURLToPath(new URL('..', import.meta.url)) });
  const sessions = await manySessions(join(folder, 'many'), CACHE_MIB);
  console.log(
    `\nMemory of a node without a model: ${sessions.rssStartMiB} MiB at its start; after sessions of one turn,`,
  );
  console.log(`with ${CACHE_MIB} MiB for contexts in use,`);
  console.log(table(sessions.rssMiB, ['sessions', 'mib']));
  rows.push({ ...info, part: 'sessions', ...sessions });
  return sessions;
}

/** What the disk takes for the least that makes a turn durable. */
function fsyncFloor(): { p50Ms: number; p99Ms: number } {
  const file = openSync(join(folder, 'floor'), 'w');
  const page = Buffer.alloc(4096, 1);
  const times: number[] = [];
  for (let i = 0; i < 500; i++) {
    const startedMs = performance.now();
    writeSync(file, page, 0, page.length, (i % 64) * page.length);
    fdatasyncSync(file);
    times.push(performance.now() - startedMs);
  }
  closeSync(file);
  return { p50Ms: rounded(quantile(times, 0.5)), p99Ms: rounded(quantile(times, 0.99)) };
}

// npm run bench:overhead [-- --seconds N --rows FILE]
//
// What DisCEdge adds to a turn: the same requests to a bare HTTP server of the same framework, to a node with the memory
// store, and to a node with LMDB (every reply durable before it is complete), in one run, with an LLM that costs nothing.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchmarkFlags } from './support/arguments.ts';
import { KeepAliveClient } from './support/keep-alive-client.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';
import { loadWithTurns, turnBody } from './support/turn-load.ts';

const VARIANTS = ['bare', 'memory', 'lmdb'] as const;
type Variant = (typeof VARIANTS)[number];
const CLIENTS = [1, 16, 64];
const LONG_SESSION_TURNS = 1000;
const LONG_SESSIONS = 12;
/** Turns looked at together, so that one stall does not decide a figure. */
const STAGES = { 'turn 1': [1, 10], 'turn 100': [95, 104], 'turn 1000': [991, 1000] } as const;
const WARM_UP_TURNS = 300;
const SEED = 1;

const values = benchmarkFlags('overhead', {
  seconds: { type: 'string', default: '5', help: 'SECONDS a row', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const seconds = Number(values.seconds);
const info = runInfo('overhead', SEED);
const rows: object[] = [];

interface Server {
  readonly child: ChildProcess;
  readonly port: number;
}

/** On the disk that is measured: the project's own, not a RAM disk. */
const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-bench-'));
try {
  console.log(
    `${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}; ${seconds} s a row\n`,
  );
  const floor = fsyncFloor();
  console.log(
    `Floor of a durable turn: one 4 KiB write and fdatasync takes ${floor.p50Ms} ms (p50), ${floor.p99Ms} ms (p99)\n`,
  );
  rows.push({ ...info, part: 'fsync-floor', ...floor });
  await measureLoad();
  await measureLength();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  console.log(`\n${rows.length} rows appended to ${values.rows}`);
}

/** Turns per second and time per turn at 1, 16 and 64 clients, each client in sessions of its own. */
async function measureLoad(): Promise<void> {
  const measured: Array<{
    variant: Variant;
    clients: number;
    turnsPerSecond: number;
    p50Ms: number;
    p95Ms: number;
    p99Ms: number;
    rssMiB: number;
  }> = [];
  for (const variant of VARIANTS) {
    await withServer(variant, async (server) => {
      await loadWithTurns(server.port, 1, { turns: WARM_UP_TURNS });
      for (const clients of CLIENTS) {
        const { turnMs, elapsedMs } = await loadWithTurns(server.port, clients, { elapsedMs: seconds * 1000 });
        measured.push({
          variant,
          clients,
          turnsPerSecond: Math.round((turnMs.length * 1000) / elapsedMs),
          p50Ms: rounded(quantile(turnMs, 0.5)),
          p95Ms: rounded(quantile(turnMs, 0.95)),
          p99Ms: rounded(quantile(turnMs, 0.99)),
          rssMiB: await rssMiB(server),
        });
      }
    });
  }
  const withAdded = measured.map((row) => {
    const bare = measured.find((other) => other.variant === 'bare' && other.clients === row.clients);
    return {
      ...row,
      addedP50Ms: rounded(row.p50Ms - (bare?.p50Ms ?? 0)),
      addedP99Ms: rounded(row.p99Ms - (bare?.p99Ms ?? 0)),
    };
  });
  console.log('Turns of 65-byte messages and 128-id replies; added = beyond the bare server at as many clients');
  console.log(
    table(withAdded, [
      'variant',
      'clients',
      'turnsPerSecond',
      'p50Ms',
      'p95Ms',
      'p99Ms',
      'addedP50Ms',
      'addedP99Ms',
      'rssMiB',
    ]),
  );
  rows.push(...withAdded.map((row) => ({ ...info, part: 'load', ...row })));
}

/** Time per turn at the 1st, 100th and 1,000th turn of a session, one client. */
async function measureLength(): Promise<void> {
  const measured: Array<{ variant: Variant; stage: string; p50Ms: number; p99Ms: number; toTurn1: number }> = [];
  for (const variant of ['memory', 'lmdb'] as const) {
    await withServer(variant, async ({ port }) => {
      await loadWithTurns(port, 1, { turns: WARM_UP_TURNS });
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
      let first: number | undefined;
      for (const [stage, [from, to]] of Object.entries(STAGES)) {
        const samples = byTurn.slice(from, to + 1).flat();
        const p50Ms = quantile(samples, 0.5);
        first ??= p50Ms;
        measured.push({
          variant,
          stage,
          p50Ms: rounded(p50Ms),
          p99Ms: rounded(quantile(samples, 0.99)),
          toTurn1: rounded(p50Ms / first),
        });
      }
    });
  }
  console.log(
    `\nTime per turn along a session of ${LONG_SESSION_TURNS} turns (about 210,000 ids), one client, ${LONG_SESSIONS} sessions`,
  );
  console.log(table(measured, ['variant', 'stage', 'p50Ms', 'p99Ms', 'toTurn1']));
  rows.push(...measured.map((row) => ({ ...info, part: 'length', ...row })));
}

async function withServer(variant: Variant, measure: (server: Server) => Promise<void>): Promise<void> {
  const program = fileURLToPath(new URL('support/overhead-server.ts', import.meta.url));
  const child = fork(program, [variant, join(folder, variant)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  try {
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    await measure({ child, port });
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
    rmSync(join(folder, variant), { recursive: true, force: true });
  }
}

async function rssMiB({ child }: Server): Promise<number> {
  child.send('memory');
  const [{ rssBytes }] = (await once(child, 'message')) as [{ rssBytes: number }];
  return Math.round(rssBytes / 2 ** 20);
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

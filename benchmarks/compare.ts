// npm run bench:compare -- --base COMMIT [--rounds N] [--seconds N] [--rows FILE]
//
// Two builds of the node in one run: the working tree's and another commit's. Each round starts both, one after the other in
// changing order, as a user starts them (LevelDB, scripted LLM Service), and measures the start, memory, and turns at one and at
// sixteen clients. Ratios are taken within a round, so that a machine whose speed drifts drifts for both.
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startNodeProcess } from '../tools/node-process.ts';
import { residentMiB } from '../tools/resident-memory.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';
import { loadWithTurns } from './support/turn-load.ts';

const WARM_UP_TURNS = 300;
const SEED = 1;

const values = benchmarkFlags('compare', {
  base: { type: 'string', help: 'COMMIT whose build is compared with', isRequired: true },
  rounds: { type: 'string', default: '7', help: 'ROUNDS in which both are measured', isNumber: true },
  seconds: { type: 'string', default: '3', help: 'SECONDS of load each', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const info = runInfo('compare', SEED);

/** What one build did in one round. */
type Measured = Readonly<
  Record<
    'startMs' | 'rssStartMiB' | 'turnP50Ms' | 'turnP99Ms' | 'turnsPerSecond1' | 'turnsPerSecond16' | 'rssEndMiB',
    number
  >
>;

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-compare-'));
const baseTree = join(folder, 'base');
const build = (tree: string) => execFileSync('npm', ['run', 'build', '--silent'], { cwd: tree, stdio: 'inherit' });
try {
  const base = execFileSync('git', ['rev-parse', '--short', values.base], { cwd: ROOT, encoding: 'utf8' }).trim();
  execFileSync('git', ['worktree', 'add', '--quiet', '--detach', baseTree, base], { cwd: ROOT });
  execFileSync('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund', '--silent'], { cwd: baseTree });
  build(baseTree);
  build(ROOT);
  console.log(
    `${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''} against ${base}; ${rounds} rounds\n`,
  );
  const measured: Array<{ readonly now: Measured; readonly base: Measured }> = [];
  for (let round = 0; round < rounds; round++) measured.push(await playRound(round));
  const metrics = Object.keys(measured[0]?.now ?? {}) as Array<keyof Measured>;
  const rows = metrics.map((metric) => {
    const ratios = measured.map(({ now, base }) => now[metric] / base[metric]);
    return {
      metric,
      base: rounded(
        quantile(
          measured.map(({ base }) => base[metric]),
          0.5,
        ),
      ),
      now: rounded(
        quantile(
          measured.map(({ now }) => now[metric]),
          0.5,
        ),
      ),
      ratio: rounded(quantile(ratios, 0.5)),
      least: rounded(Math.min(...ratios)),
      most: rounded(Math.max(...ratios)),
    };
  });
  console.log(table(rows, ['metric', 'base', 'now', 'ratio', 'least', 'most']));
  console.log('\nMedians; ratio = now ÷ base within a round, its median, least and most.');
  if (values.rows !== undefined) {
    const text = rows.map((row) => `${JSON.stringify({ ...info, against: base, rounds, seconds, ...row })}\n`).join('');
    appendFileSync(resolve(values.rows), text);
    console.log(`${rows.length} rows appended to ${values.rows}`);
  }
} finally {
  execFileSync('git', ['worktree', 'remove', '--force', baseTree], { cwd: ROOT });
  rmSync(folder, { recursive: true, force: true });
}

/** Which goes first changes from round to round: the second finds a warmer machine. */
async function playRound(round: number): Promise<{ now: Measured; base: Measured }> {
  if (round % 2 === 0) {
    const now = await measure(ROOT, round);
    return { now, base: await measure(baseTree, round) };
  }
  const base = await measure(baseTree, round);
  return { base, now: await measure(ROOT, round) };
}

async function measure(tree: string, round: number): Promise<Measured> {
  const dataDir = join(folder, `data-${round}`);
  const startedMs = performance.now();
  const node = await startNodeProcess(['--llm', 'scripted', '--data-dir', dataDir], {
    cli: join(tree, 'dist/cli/main.js'),
  });
  try {
    const startMs = performance.now() - startedMs;
    const rssStartMiB = residentMiB(node.process.pid);
    const port = Number(new URL(node.url).port);
    await loadWithTurns(port, 1, { turns: WARM_UP_TURNS });
    const one = await loadWithTurns(port, 1, { elapsedMs: seconds * 1000 });
    const sixteen = await loadWithTurns(port, 16, { elapsedMs: seconds * 1000 });
    const perSecond = ({ turnMs, elapsedMs }: typeof one) => (turnMs.length * 1000) / elapsedMs;
    return {
      startMs,
      rssStartMiB,
      turnP50Ms: quantile(one.turnMs, 0.5),
      turnP99Ms: quantile(one.turnMs, 0.99),
      turnsPerSecond1: perSecond(one),
      turnsPerSecond16: perSecond(sixteen),
      rssEndMiB: residentMiB(node.process.pid),
    };
  } finally {
    await node.process.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

// npm run bench:handover [-- --turns N --rows FILE]
//
// What moving costs a client that does not pause: from the last byte of a reply at node A to the first text of the next
// one at node B, against the same without moving. Two edge nodes with their nats-servers on this machine; sessions that
// move with every turn and sessions that stay alternate, so that whatever else the machine does befalls both.
import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DiscedgeClient, type Reply, type Session } from '../src/client/client.ts';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../tools/node-process.ts';
import { natsPrograms } from '../tools/real-servers/nats-programs.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const TURNS_A_SESSION = 10;
const REPLY_TOKENS = 32;
const SEED = 1;
/** What each variant's LLM Service adds to the picture. */
const LLM_SERVICES = {
  /** No model: the handover itself. */
  scripted: ['--llm', 'scripted'],
  /** A real one, which has the context in its KV cache only where the last turn was. */
  'demo model': ['--threads', '1', '--parallel', '2'],
} as const;
const VARIANTS = ['stays', 'moves'] as const;
type Variant = (typeof VARIANTS)[number];

interface Sample {
  readonly firstTextMs: number;
  readonly reply: Reply;
}

const values = benchmarkFlags('handover', {
  turns: { type: 'string', default: '400', help: 'TURNS of each kind', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const turnsWanted = Number(values.turns);
const info = runInfo('handover', SEED);
const root = fileURLToPath(new URL('..', import.meta.url));
execFileSync('npm', ['run', 'build', '--silent'], { cwd: root, stdio: 'inherit' });
const program = (await natsPrograms())[0]?.path as string;
console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);

const rows: Array<Record<string, string | number>> = [];
for (const [llm, args] of Object.entries(LLM_SERVICES)) await measure(llm, args);
console.log('From the last byte of a reply to the first text of the next one; the client does not pause');
console.log(
  table(rows, ['llm', 'client', 'turns', 'p50Ms', 'p99Ms', 'toStaying', 'waitedP50Ms', 'waitedP99Ms', 'evaluatedIds']),
);
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify({ ...info, ...row })}\n`).join(''));
}

async function measure(llm: string, args: readonly string[]): Promise<void> {
  const folder = temporaryFolder();
  const nodes: NodeProcess[] = [];
  try {
    nodes.push(await start('a', args, folder.path));
    nodes.push(await start('b', [...args, '--peers', `a=${await natsAddress(nodes[0] as NodeProcess)}`], folder.path));
    await connected(nodes);
    await play(nodes, TURNS_A_SESSION * 2);
    const samples = await play(nodes, turnsWanted);
    const staying = quantile(
      samples.stays.map(({ firstTextMs }) => firstTextMs),
      0.5,
    );
    for (const variant of VARIANTS) {
      const times = samples[variant].map(({ firstTextMs }) => firstTextMs);
      const waited = samples[variant].map(({ reply }) => reply.waitedMs);
      const evaluated = samples[variant].map(({ reply }) => reply.usage.evaluatedTokens);
      rows.push({
        llm,
        client: variant,
        turns: times.length,
        p50Ms: rounded(quantile(times, 0.5)),
        p99Ms: rounded(quantile(times, 0.99)),
        toStaying: rounded(quantile(times, 0.5) / staying),
        waitedP50Ms: rounded(quantile(waited, 0.5)),
        waitedP99Ms: rounded(quantile(waited, 0.99)),
        evaluatedIds: Math.round(evaluated.reduce((sum, ids) => sum + ids, 0) / evaluated.length),
      });
    }
  } finally {
    await Promise.all(nodes.map((node) => node.process.stop()));
    folder.remove();
  }
}

function start(nodeId: string, args: readonly string[], folder: string): Promise<NodeProcess> {
  return startNodeProcess([
    ...['--node-id', nodeId, '--data-dir', join(folder, nodeId)],
    ...['--store', 'nats', '--nats-program', program, '--nats-listen', '127.0.0.1:0', ...args],
  ]);
}

/** At least `turns` of each variant, in sessions of {@link TURNS_A_SESSION}; the first of a session has no turn before it. */
async function play(nodes: readonly NodeProcess[], turns: number): Promise<Record<Variant, Sample[]>> {
  const samples: Record<Variant, Sample[]> = { stays: [], moves: [] };
  const client = new DiscedgeClient({ nodes: nodes.map(({ url }) => url) });
  for (let round = 0; samples.stays.length < turns; round++) {
    for (const variant of VARIANTS) {
      const session = client.session({ turnOptions: { maxTokens: REPLY_TOKENS, temperature: 0 } });
      for (let turn = 1; turn <= TURNS_A_SESSION; turn++) {
        session.moveTo((nodes[(round + (variant === 'moves' ? turn : 0)) % nodes.length] as NodeProcess).url);
        const sample = await takeTurn(session, `My name is Ada ${turn}.`);
        if (turn > 1) samples[variant].push(sample);
      }
    }
  }
  return samples;
}

async function takeTurn(session: Session, message: string): Promise<Sample> {
  const sentMs = performance.now();
  let firstTextMs = Number.NaN;
  const stream = session.stream(message);
  for await (const _ of stream) if (Number.isNaN(firstTextMs)) firstTextMs = performance.now() - sentMs;
  return { firstTextMs, reply: await stream.reply };
}

async function natsAddress(node: NodeProcess): Promise<string> {
  return new URL((await node.get('/nodes')).body.nodes[0].nats_url).host;
}

async function connected(nodes: readonly NodeProcess[]): Promise<void> {
  for (const node of nodes) {
    while ((await node.get('/nodes')).body.nodes[1]?.state !== 'connected') await new Promise(setImmediate);
  }
}

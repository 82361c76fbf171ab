// npm run bench:openai [-- --seconds N --conversations N --rows FILE]
//
// What a turn costs through each API of a node, and what its client sends for it: `/completion` with its session and turn, OpenAI's
// chat completions with the whole history, and its responses by previous_response_id. Beside each the same requests to a bare
// server of the same framework that reads them and answers as long, alternated in one run, with an LLM that costs nothing.
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { benchmarkFlags } from './support/arguments.ts';
import { CONVERSATIONS, type Talk } from './support/conversations.ts';
import { KeepAliveClient } from './support/keep-alive-client.ts';
import { MeasuredServer } from './support/overhead/measured-server.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const VARIANTS = ['bare', 'node'] as const;
type Variant = (typeof VARIANTS)[number];
const CLIENTS = [1, 16, 64];
const TURNS = 200;
/** Turns looked at together, so that one stall does not decide a figure. */
const STAGES = { first: [1, 20], middle: [91, 110], last: [181, 200] } as const;
/** A conversation of each kind beforehand. */
const WARM_UP_CONVERSATIONS = 2;
const LOAD_TURNS = 20;
const SEED = 1;

const values = benchmarkFlags('openai', {
  seconds: { type: 'string', default: '4', help: 'SECONDS a row of load', isNumber: true },
  conversations: {
    type: 'string',
    default: '6',
    help: 'NUMBER of conversations of 200 turns with each',
    isNumber: true,
  },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const info = runInfo('openai', SEED);
const rows: object[] = [];

const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-bench-'));
const servers = new Map<Variant, MeasuredServer>();
try {
  console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);
  for (const variant of VARIANTS) servers.set(variant, await start(variant));
  const apis = await served();
  await measureLength(apis);
  await measureLoad(apis);
} finally {
  for (const server of servers.values()) await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  console.log(`\n${rows.length} rows appended to ${values.rows}`);
}

/** Those that the node has. */
async function served(): Promise<string[]> {
  const { port } = servers.get('node') as MeasuredServer;
  const { paths } = (await (await fetch(`http://127.0.0.1:${port}/openapi.json`)).json()) as { paths: object };
  const [there, missing] = [[] as string[], [] as string[]];
  for (const [api, { path }] of Object.entries(CONVERSATIONS)) (path in paths ? there : missing).push(api);
  if (missing.length > 0) console.log(`not served by this build, and left out: ${missing.join(', ')}\n`);
  return there;
}

interface Stage {
  readonly turnMs: number[];
  requestBytes: number;
  cpuMs: number;
}

/** Time, processor time and bytes sent per turn, along conversations of 200 turns, one client. */
async function measureLength(apis: readonly string[]): Promise<void> {
  const stages = new Map<string, Stage>();
  const stageOf = (variant: Variant, api: string, stage: string) => {
    const name = `${variant} ${api} ${stage}`;
    const known = stages.get(name) ?? { turnMs: [], requestBytes: 0, cpuMs: 0 };
    stages.set(name, known);
    return known;
  };
  for (let conversation = -WARM_UP_CONVERSATIONS; conversation < Number(values.conversations); conversation++) {
    for (const api of apis) {
      for (const variant of VARIANTS) {
        const server = servers.get(variant) as MeasuredServer;
        const client = await KeepAliveClient.open({ host: '127.0.0.1', port: server.port });
        const talk = talkOf(api);
        for (let turn = 1; turn <= TURNS; turn++) {
          const stage = Object.entries(STAGES).find(([, [from, to]]) => turn >= from && turn <= to);
          const isBorder = stage !== undefined && (turn === stage[1][0] || turn === stage[1][1]);
          const cpuBefore = isBorder && turn === stage[1][0] ? await cpuMs(server) : 0;
          const body = talk.next();
          const startedMs = performance.now();
          const reply = await client.post(talk.path, body);
          const tookMs = performance.now() - startedMs;
          talk.answered(reply);
          if (stage === undefined || conversation < 0) continue;
          const own = stageOf(variant, api, stage[0]);
          own.turnMs.push(tookMs);
          own.requestBytes += Buffer.byteLength(body);
          if (isBorder) own.cpuMs += turn === stage[1][1] ? await cpuMs(server) : -cpuBefore;
        }
        client.close();
      }
    }
  }
  const measured = apis.flatMap((api) =>
    Object.keys(STAGES).map((stage) => {
      const [bare, node] = [stageOf('bare', api, stage), stageOf('node', api, stage)];
      const first = stageOf('node', api, 'first');
      const per = (total: number, { turnMs }: Stage) => rounded(total / turnMs.length);
      return {
        api,
        stage,
        bareP50Ms: rounded(quantile(bare.turnMs, 0.5)),
        p50Ms: rounded(quantile(node.turnMs, 0.5)),
        addedP50Ms: rounded(quantile(node.turnMs, 0.5) - quantile(bare.turnMs, 0.5)),
        p50ToFirst: rounded(quantile(node.turnMs, 0.5) / quantile(first.turnMs, 0.5)),
        bareCpuMs: per(bare.cpuMs, bare),
        cpuMs: per(node.cpuMs, node),
        requestBytes: Math.round(node.requestBytes / node.turnMs.length),
      };
    }),
  );
  console.log(
    `A turn along ${values.conversations} conversations of ${TURNS} turns, one client; cpuMs of the server, per turn`,
  );
  console.log(table(measured, Object.keys(measured[0] as object) as (keyof (typeof measured)[0])[]));
  rows.push(...measured.map((row) => ({ ...info, part: 'length', ...row })));
}

/** Turns per second of so many clients, each in conversations of its own of 20 turns. */
async function measureLoad(apis: readonly string[]): Promise<void> {
  const measured: object[] = [];
  for (const clients of CLIENTS) {
    for (const api of apis) {
      const row: Record<string, string | number> = { api, clients };
      for (const variant of VARIANTS) {
        const server = servers.get(variant) as MeasuredServer;
        const cpuBefore = await cpuMs(server);
        const turns = await turnsIn(Number(values.seconds) * 1000, server, api, clients);
        row[`${variant}TurnsPerSecond`] = Math.round(turns / Number(values.seconds));
        row[`${variant}CpuMs`] = rounded(((await cpuMs(server)) - cpuBefore) / turns);
      }
      measured.push(row);
    }
  }
  console.log(`\nTurns per second of clients with conversations of ${LOAD_TURNS} turns`);
  console.log(table(measured, Object.keys(measured[0] as object) as never[]));
  rows.push(...measured.map((row) => ({ ...info, part: 'load', ...row })));
}

async function turnsIn(elapsedMs: number, { port }: MeasuredServer, api: string, clients: number): Promise<number> {
  const untilMs = performance.now() + elapsedMs;
  let turns = 0;
  const talking = Array.from({ length: clients }, async () => {
    const client = await KeepAliveClient.open({ host: '127.0.0.1', port });
    while (performance.now() < untilMs) {
      const talk = talkOf(api);
      for (let turn = 1; turn <= LOAD_TURNS && performance.now() < untilMs; turn++) {
        talk.answered(await client.post(talk.path, talk.next()));
        turns++;
      }
    }
    client.close();
  });
  await Promise.all(talking);
  return turns;
}

function talkOf(api: string): Talk & { readonly path: string } {
  const { path, talk } = CONVERSATIONS[api] as (typeof CONVERSATIONS)[string];
  return { path, ...talk() };
}

function start(variant: Variant): Promise<MeasuredServer> {
  const store = variant === 'bare' ? undefined : 'durable';
  return MeasuredServer.start({ store, dataDir: join(folder, variant) });
}

async function cpuMs(server: MeasuredServer): Promise<number> {
  return (await server.usage()).cpuMs;
}

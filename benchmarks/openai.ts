// npm run bench:openai [-- --seconds N --conversations N --rows FILE]
//
// What a turn costs through each API of a node, and what its client sends for it: `/completion` with its session and turn, OpenAI's
// responses by previous_response_id, and its chat completions with the whole history. The same requests go to a node with the durable
// store and to a bare relay of the same framework, by turns in one run, both in front of the same instant LLM.
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { benchmarkFlags } from './support/arguments.ts';
import { CONVERSATIONS, loadWithTalks, type Talk } from './support/conversations.ts';
import { type InstantLlm, startInstantLlm } from './support/instant-llm/instant-llm.ts';
import { KeepAliveClient } from './support/keep-alive-client.ts';
import { alternated } from './support/overhead/alternated.ts';
import { MeasuredServer } from './support/overhead/measured-server.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const VARIANTS = ['relay', 'node'] as const;
type Variant = (typeof VARIANTS)[number];
const CLIENTS = [1, 16, 64];
const TURNS = 200;
/** Turns looked at together, so that one stall does not decide a figure. */
const STAGES = { first: [1, 20], middle: [91, 110], last: [181, 200] } as const;
type StageName = keyof typeof STAGES;
/** Of each kind beforehand: V8 has compiled what is hot by then. */
const WARM_UP_CONVERSATIONS = 4;
/** On a machine that is busy with other work fewer conversations are played than asked for: the run ends within four minutes. */
const LENGTH_MS_MAX = 120_000;
const SEED = 1;

const values = benchmarkFlags('openai', {
  seconds: { type: 'string', default: '4', help: 'SECONDS a row of load', isNumber: true },
  conversations: {
    type: 'string',
    default: '8',
    help: `NUMBER of conversations of ${TURNS} turns with each`,
    isNumber: true,
  },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const info = runInfo('openai', SEED);
const rows: object[] = [];

const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-bench-'));
let llm: InstantLlm | undefined;
const servers = new Map<Variant, MeasuredServer>();
try {
  console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);
  llm = await startInstantLlm({ slots: Math.max(...CLIENTS) });
  for (const variant of VARIANTS) {
    const store = variant === 'relay' ? undefined : 'durable';
    servers.set(variant, await MeasuredServer.start({ store, llm: llm.url, dataDir: join(folder, variant) }));
  }
  await measureLength();
  await measureLoad();
} finally {
  for (const server of servers.values()) await server.stop();
  await llm?.stop();
  rmSync(folder, { recursive: true, force: true });
}
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  console.log(`\n${rows.length} rows appended to ${values.rows}`);
}

interface Stage {
  readonly turnMs: number[];
  requestBytes: number;
  cpuMs: number;
}

/** Time, processor time and bytes sent per turn, along conversations of 200 turns, one client. */
async function measureLength(): Promise<void> {
  const stages = new Map<string, Stage>();
  const stageOf = (variant: Variant, api: string, stage: StageName) => {
    const name = `${variant} ${api} ${stage}`;
    const known = stages.get(name) ?? { turnMs: [], requestBytes: 0, cpuMs: 0 };
    stages.set(name, known);
    return known;
  };
  const untilMs = performance.now() + LENGTH_MS_MAX;
  let played = 0;
  for (let conversation = -WARM_UP_CONVERSATIONS; conversation < Number(values.conversations); conversation++) {
    if (played > 0 && performance.now() > untilMs) break;
    for (const [api, talk] of Object.entries(CONVERSATIONS)) {
      for (const variant of VARIANTS) {
        const isCounted = conversation >= 0;
        await talkThrough(serverOf(variant), talk(), isCounted ? (stage) => stageOf(variant, api, stage) : undefined);
      }
    }
    if (conversation >= 0) played++;
  }
  const measured = Object.keys(CONVERSATIONS).flatMap((api) => {
    const figures = (stage: StageName) => {
      const [relay, node] = [stageOf('relay', api, stage), stageOf('node', api, stage)];
      const [relayMs, nodeMs] = [quantile(relay.turnMs, 0.5), quantile(node.turnMs, 0.5)];
      const [relayCpuMs, nodeCpuMs] = [relay.cpuMs / relay.turnMs.length, node.cpuMs / node.turnMs.length];
      return { relayMs, nodeMs, addedMs: nodeMs - relayMs, relayCpuMs, nodeCpuMs, addedCpuMs: nodeCpuMs - relayCpuMs };
    };
    const first = figures('first');
    return (Object.keys(STAGES) as StageName[]).map((stage) => {
      const { addedMs, addedCpuMs, ...each } = figures(stage);
      const sent = stageOf('node', api, stage);
      return {
        api,
        turns: STAGES[stage].join('–'),
        ...{ relayP50Ms: rounded(each.relayMs), nodeP50Ms: rounded(each.nodeMs), addedP50Ms: rounded(addedMs) },
        ...{
          relayCpuMs: rounded(each.relayCpuMs),
          nodeCpuMs: rounded(each.nodeCpuMs),
          addedCpuMs: rounded(addedCpuMs),
        },
        addedToFirst: rounded(addedMs / first.addedMs, 2),
        addedCpuToFirst: rounded(addedCpuMs / first.addedCpuMs, 2),
        requestBytes: Math.round(sent.requestBytes / sent.turnMs.length),
      };
    });
  });
  console.log(
    `A turn along ${played} conversations of ${TURNS} turns, one client; CPU time of the server's process; added = beyond the relay`,
  );
  console.log(table(measured, Object.keys(measured[0] as object) as (keyof (typeof measured)[0])[]));
  rows.push(...measured.map((row) => ({ ...info, part: 'length', conversations: played, ...row })));
}

/** One conversation from its first turn to its last. */
async function talkThrough(
  server: MeasuredServer,
  talk: Talk,
  stageOf: ((stage: StageName) => Stage) | undefined,
): Promise<void> {
  const client = await KeepAliveClient.open({ host: '127.0.0.1', port: server.port });
  for (let turn = 1; turn <= TURNS; turn++) {
    const [name, [from, to]] = Object.entries(STAGES).find(([, [, last]]) => turn <= last) as [
      StageName,
      [number, number],
    ];
    const stage = turn >= from ? stageOf?.(name) : undefined;
    if (stage !== undefined && turn === from) stage.cpuMs -= (await server.usage()).cpuMs;
    const body = talk.next();
    const startedMs = performance.now();
    const reply = await client.post(talk.path, body);
    const tookMs = performance.now() - startedMs;
    talk.answered(reply);
    if (stage === undefined) continue;
    stage.turnMs.push(tookMs);
    stage.requestBytes += Buffer.byteLength(body);
    if (turn === to) stage.cpuMs += (await server.usage()).cpuMs;
  }
  client.close();
}

/** Turns per second of so many clients, each in conversations of its own. */
async function measureLoad(): Promise<void> {
  const measured: object[] = [];
  for (const clients of CLIENTS) {
    for (const [api, talk] of Object.entries(CONVERSATIONS)) {
      const contestants = VARIANTS.map((variant) => {
        const server = serverOf(variant);
        const load = (count: number, elapsedMs: number) =>
          loadWithTalks(server.port, talk, { clients: count, elapsedMs });
        return { variant, server, load };
      });
      const both = await alternated(contestants, { clients, elapsedMs: Number(values.seconds) * 1000 });
      measured.push(...both.map((row) => ({ api, ...row })));
    }
  }
  console.log(
    '\nTurns per second of clients in conversations of 20 turns; added = beyond the relay at as many clients',
  );
  console.log(table(measured, Object.keys(measured[0] as object) as never[]));
  rows.push(...measured.map((row) => ({ ...info, part: 'load', ...row })));
}

function serverOf(variant: Variant): MeasuredServer {
  return servers.get(variant) as MeasuredServer;
}

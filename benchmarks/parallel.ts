// npm run bench:parallel [-- --model FILE --turns LIST --reply IDS --rows FILE]
//
// What turns at once give each other: ids of replies a second of all together, for so many turns at once, of the embedded service
// and of a llama-server with as many slots, one compute thread each. Prompts are evaluated before, so that what is measured are
// batches of replies. Both services alternate, so that whatever else the machine does befalls both.
import { appendFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { DEMO_MODEL_PATH } from '../src/edge-node/models/demo-model.ts';
import { nodeEnvironment } from '../src/environment/node-environment.ts';
import { startEmbedded } from '../src/llm-service/embedded.ts';
import type { LlmService } from '../src/llm-service/llm-service.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { idOf } from './support/conversation-ids.ts';
import { startLlamaServerService } from './support/llama-server-service.ts';
import { runInfo } from './support/run-info.ts';
import { rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const SEED = 1;
const CONTEXT_TOKENS = 128;
const WINDOW_TOKENS = 1_024;
const ROUNDS = 3;
const NEVER = new AbortController().signal;

const values = benchmarkFlags('parallel', {
  model: { type: 'string', default: DEMO_MODEL_PATH, help: 'FILE of the model, GGUF; the demo model if left out' },
  turns: { type: 'string', default: '1,2,3,4,8', help: 'LIST of numbers of turns at once' },
  reply: { type: 'string', default: '64', help: 'IDS of each reply', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const counts = values.turns.split(',').map(Number);
const parallel = Math.max(...counts);
const replyTokens = Number(values.reply);
const info = runInfo('parallel', SEED);
const environment = nodeEnvironment({ logLevel: 'error', nodeId: 'bench' });
console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);

const closing: Array<() => Promise<unknown>> = [];
const rows: Array<Record<string, string | number>> = [];
let conversations = 0;
try {
  const services = await startServices();
  const measured = new Map<string, { ids: number; ms: number }>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const count of counts) {
      for (const [name, service] of services) {
        const key = `${name} ${count}`;
        const sum = measured.get(key) ?? { ids: 0, ms: 0 };
        measured.set(key, sum);
        await play(service, count, sum);
      }
    }
  }
  for (const [name] of services) {
    const perSecond = (count: number) => {
      const { ids, ms } = measured.get(`${name} ${count}`) as { ids: number; ms: number };
      return (ids * 1000) / ms;
    };
    for (const count of counts) {
      const first = perSecond(counts[0] as number);
      const row = {
        model: basename(values.model),
        service: name,
        turnsAtOnce: count,
        idsPerSecond: rounded(perSecond(count)),
      };
      rows.push({ ...row, toFirst: rounded(perSecond(count) / first) });
    }
  }
} finally {
  for (const close of closing.reverse()) await close();
}
console.log(table(rows, ['service', 'turnsAtOnce', 'idsPerSecond', 'toFirst']));
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify({ ...info, ...row })}\n`).join(''));
}

async function startServices(): Promise<Array<[string, LlmService]>> {
  const size = { modelPath: values.model, contextTokens: WINDOW_TOKENS };
  const embedded = await startEmbedded({ ...size, parallel, threads: 1 }, environment);
  closing.push(() => embedded.close());
  const server = await startLlamaServerService({ ...size, slots: parallel }, environment);
  closing.push(() => server.close());
  return [
    ['embedded', embedded],
    ['llama-server', server.service],
  ];
}

/** New conversations at once, each with a turn that evaluates its context and is not counted. */
async function play(service: LlmService, count: number, sum: { ids: number; ms: number }): Promise<void> {
  const seeds = Array.from({ length: count }, () => ++conversations);
  await Promise.all(seeds.map((seed) => generate(service, seed, 1)));
  const startedMs = performance.now();
  await Promise.all(seeds.map((seed) => generate(service, seed, replyTokens)));
  sum.ms += performance.now() - startedMs;
  sum.ids += count * replyTokens;
}

async function generate(service: LlmService, seed: number, maxTokens: number): Promise<void> {
  const prompt = Array.from({ length: CONTEXT_TOKENS }, (_, i) => idOf(seed, i));
  const asked = { prompt, maxTokens, stop: [], stream: false, affinity: `p\nu${seed}\n${seed}`, owner: `u${seed}` };
  for await (const event of service.generate({ ...asked, sampling: { temperature: 0, ignore_eos: true } }, NEVER)) {
    if (event.kind === 'end' && event.ids.length !== maxTokens) throw new Error('a reply of another length');
  }
}

// npm run bench:keeping [-- --model FILE --turns N --context IDS --sequences N --rows FILE]
//
// What it costs an LLM Service to have more users than sequences: turns/s of users = 4 × sequences against users =
// sequences, embedded with and without keeping, and llama-server as it comes. Each user's next turn follows its last, adds
// ids to its own context, and no two users share any. The variants alternate, so that whatever else the machine does
// befalls all; CPU time of this process is the embedded one's.
import { appendFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { TokenId } from '../src/domain/token-sequence.ts';
import { DEMO_MODEL_PATH } from '../src/edge-node/models/demo-model.ts';
import { nodeEnvironment } from '../src/environment/node-environment.ts';
import { startEmbedded } from '../src/llm-service/embedded.ts';
import type { GenerationUsage, LlmService } from '../src/llm-service/llm-service.ts';
import { temporaryFolder } from '../tools/node-process.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { idOf } from './support/conversation-ids.ts';
import { startLlamaServerService } from './support/llama-server-service.ts';
import { runInfo } from './support/run-info.ts';
import { rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const SEED = 1;
const ADDED_TOKENS = 24;
const REPLY_TOKENS = 16;
const WINDOW_TOKENS = 2_048;
const ROUNDS = 2;
const NEVER = new AbortController().signal;

const values = benchmarkFlags('keeping', {
  model: { type: 'string', default: DEMO_MODEL_PATH, help: 'FILE of the model, GGUF; the demo model if left out' },
  turns: { type: 'string', default: '12', help: 'TURNS of each user and round', isNumber: true },
  context: { type: 'string', default: '150', help: 'IDS that each conversation begins with', isNumber: true },
  sequences: { type: 'string', default: '2', help: 'SEQUENCES of each service', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const { model: modelPath } = values;
const [turns, contextTokens, sequences] = [values.turns, values.context, values.sequences].map(Number) as [
  number,
  number,
  number,
];
const info = runInfo('keeping', SEED);
const environment = nodeEnvironment({ logLevel: 'error', nodeId: 'bench' });
console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}\n`);

interface Measured {
  wallMs: number;
  cpuMs: number;
  readonly usages: GenerationUsage[];
}

const folder = temporaryFolder();
const closing: Array<() => Promise<unknown>> = [];
const rows: Array<Record<string, string | number>> = [];
let conversations = 0;
try {
  const services = await startServices();
  const measured = new Map<string, Measured>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const factor of [1, 4]) {
      for (const [name, service] of services) {
        const key = `${name} ${factor}`;
        const sum = measured.get(key) ?? { wallMs: 0, cpuMs: 0, usages: [] };
        measured.set(key, sum);
        await play(service, factor * sequences, sum);
      }
    }
  }
  for (const [name] of services) {
    const [one, four] = [1, 4].map((factor) => measured.get(`${name} ${factor}`)) as [Measured, Measured];
    const perSecond = ({ usages, wallMs }: Measured) => (usages.length * 1000) / wallMs;
    for (const [users, of] of [
      [sequences, one],
      [4 * sequences, four],
    ] as const) {
      const mean = (pick: (usage: GenerationUsage) => number) =>
        rounded(of.usages.reduce((sum, usage) => sum + pick(usage), 0) / of.usages.length);
      rows.push({
        model: basename(modelPath),
        service: name,
        users,
        sequences,
        turns: of.usages.length,
        turnsPerSecond: rounded(perSecond(of)),
        toOne: rounded(perSecond(of) / perSecond(one)),
        cpuMsATurn: name === 'llama-server' ? '' : rounded(of.cpuMs / of.usages.length),
        evaluated: mean(({ evaluatedTokens }) => evaluatedTokens),
        restored: mean(({ restoredTokens }) => restoredTokens ?? 0),
      });
    }
  }
} finally {
  for (const close of closing.reverse()) await close();
  folder.remove();
}
console.log(
  table(rows, ['service', 'users', 'turns', 'turnsPerSecond', 'toOne', 'cpuMsATurn', 'evaluated', 'restored']),
);
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify({ ...info, ...row })}\n`).join(''));
}

async function startServices(): Promise<Array<[string, LlmService]>> {
  const embedded = { modelPath, contextTokens: WINDOW_TOKENS, parallel: sequences, threads: 1 };
  const keep = { folder: join(folder.path, 'kv'), budgetBytes: 8e9 };
  const keeping = await startEmbedded({ ...embedded, keep }, environment);
  closing.push(() => keeping.close());
  const dropping = await startEmbedded(embedded, environment);
  closing.push(() => dropping.close());
  const server = await startLlamaServerService(
    { modelPath, contextTokens: WINDOW_TOKENS, slots: sequences },
    environment,
  );
  closing.push(() => server.close());
  return [
    ['embedded, keeping', keeping],
    ['embedded, dropping', dropping],
    ['llama-server', server.service],
  ];
}

/** New conversations, each with a first turn that is not counted. */
async function play(service: LlmService, users: number, sum: Measured): Promise<void> {
  const seeds = Array.from({ length: users }, () => ++conversations);
  const contexts = seeds.map((seed) => Array.from({ length: contextTokens }, (_, i) => idOf(seed, i)));
  const turn = async (user: number) => {
    const context = contexts[user] as TokenId[];
    const added = Array.from({ length: ADDED_TOKENS }, (_, i) => idOf(context.length, i));
    const affinity = `k\nu${user}\n${seeds[user]}`;
    const asked = { prompt: [...context, ...added], maxTokens: REPLY_TOKENS, stop: [], stream: false, affinity };
    const sampling = { temperature: 0, ignore_eos: true };
    for await (const event of service.generate({ ...asked, sampling, owner: `u${user}` }, NEVER)) {
      if (event.kind !== 'end') continue;
      contexts[user] = [...asked.prompt, ...event.ids];
      return event.usage;
    }
    throw new Error('a reply without an end');
  };
  await Promise.all(contexts.map((_, user) => turn(user)));
  const [startedMs, cpu] = [performance.now(), process.cpuUsage()];
  await Promise.all(
    contexts.map(async (_, user) => {
      for (let taken = 0; taken < turns; taken++) sum.usages.push(await turn(user));
    }),
  );
  const { user, system } = process.cpuUsage(cpu);
  sum.wallMs += performance.now() - startedMs;
  sum.cpuMs += (user + system) / 1000;
}

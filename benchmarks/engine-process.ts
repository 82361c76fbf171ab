// npm run bench:engine-process [-- --turns N --model FILE --rows FILE]
//
// What it costs that llama.cpp lives in a process of its own: the same generations by an engine in this process and by one
// behind messages, with a model (left out: the demo model) and with an engine that writes as fast as it can; and how long this process's event
// loop is held up meanwhile, as that delays every HTTP request.
import { appendFileSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TokenId } from '../src/domain/token-sequence.ts';
import { EMBEDDED_PROGRAM, launchEngine } from '../src/edge-node/engine-process/launch-engine.ts';
import { nodeEnvironment } from '../src/environment/node-environment.ts';
import { startEmbedded } from '../src/llm-service/embedded.ts';
import { EngineLink } from '../src/llm-service/engine-process/engine-link.ts';
import type { LlmService } from '../src/llm-service/llm-service.ts';
import { residentMiB } from '../tools/resident-memory.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { fastLlm } from './support/fast-llm.ts';
import { runInfo } from './support/run-info.ts';
import { quantile, rounded } from './support/statistics.ts';
import { table } from './support/table.ts';

const values = benchmarkFlags('engine-process', {
  turns: { type: 'string', default: '60', help: 'TURNS of each row', isNumber: true },
  model: { type: 'string', help: 'FILE of a model to measure with, in place of the demo model' },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const TURNS = Number(values.turns);
const REPLY_TOKENS = 100;
const LONG_PROMPT_TOKENS = 32_000;
const SHORT_TEXT = 'What is my name?';
const LARGE_TEXT = 'Lorem ipsum dolor '.repeat((8 * 2 ** 20) / 18);
const LITERALLY = { parseSpecial: false };
const info = runInfo('engine-process', 0);
const environment = nodeEnvironment({ logLevel: 'warn', nodeId: 'bench' });
const modelPath = values.model ?? fileURLToPath(new URL('../models/demo/demo.gguf', import.meta.url));
/** A long window of a large model takes more memory than its weights. */
const options = { modelPath, contextTokens: 2_048 };
const FAST_PROGRAM = new URL('support/fast-llm-program.ts', import.meta.url);

type Service = Pick<LlmService, 'tokenize' | 'generate' | 'close'> & { readonly pid?: number | undefined };
type Where = 'in process' | 'own process';

const starts: Record<string, Record<Where, () => Promise<Service>>> = {
  model: {
    'in process': () => startEmbedded(options, environment),
    'own process': () => linked(EMBEDDED_PROGRAM, options),
  },
  fast: { 'in process': async () => fastLlm(), 'own process': () => linked(FAST_PROGRAM, {}) },
};

async function linked(program: URL, options: object): Promise<Service> {
  const child = launchEngine(program, options);
  const link = new EngineLink(child, environment, { onStuck() {}, onFound() {}, onKept() {}, onWarming() {} });
  await link.started;
  return {
    pid: link.pid,
    tokenize: (text, how) => link.tokenize(text, how),
    generate: (request, signal) => link.generate(request, signal),
    close: async () => {
      child.kill();
      await link.ended;
    },
  };
}

const rows: object[] = [];
for (const engine of Object.keys(starts)) rows.push(...(await measure(engine)));
console.log(`${info.machine}, Node ${info.node}, commit ${info.commit}; ${TURNS} turns of ${REPLY_TOKENS} ids\n`);
console.log(table(rows as Array<Record<string, unknown>>, Object.keys(rows[0] as object)));
if (values.rows !== undefined) {
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify({ ...info, ...row })}\n`).join(''));
}

/** Both places at once, turn by turn in turns, so that whatever else the machine does meets both alike. */
async function measure(engine: string): Promise<object[]> {
  const places = [await place(engine, 'own process'), await place(engine, 'in process')];
  for (let i = 0; i < TURNS; i++) for (const one of places) await one.turn();
  const measured: object[] = [];
  for (const one of places) measured.push(await one.finish());
  return measured.reverse();
}

async function place(engine: string, where: Where) {
  const memoryBeforeMiB = rssMiB();
  const startLoop = await loopDelay();
  const startedMs = performance.now();
  const service = await (starts[engine] as Record<Where, () => Promise<Service>>)[where]();
  const startMs = performance.now() - startedMs;
  const loopAtStart = await startLoop();
  const question = '<|im_start|>user\nTell me about robots.<|im_end|>\n<|im_start|>assistant\n';
  const prompt = await service.tokenize(question, { parseSpecial: true });
  await turn(service, prompt);
  const memoryMiB = rssMiB() - memoryBeforeMiB + (service.pid === undefined ? 0 : rssMiB(service.pid));
  const turnMs: number[] = [];
  const firstMs: number[] = [];
  const gapMs: number[] = [];
  const cpu: number[] = [];
  return {
    async turn(): Promise<void> {
      const cpuBefore = cpuMs(service.pid);
      const one = await turn(service, prompt);
      cpu.push(cpuMs(service.pid) - cpuBefore);
      turnMs.push(one.totalMs);
      firstMs.push(one.firstMs);
      gapMs.push(...one.gapsMs);
    },
    async finish(): Promise<object> {
      const turnsLoop = await loopDelay();
      for (let i = 0; i < TURNS / 4; i++) await turn(service, prompt);
      const loopInTurns = await turnsLoop();
      const tokenizeMs: number[] = [];
      for (let i = 0; i < 500; i++) tokenizeMs.push(await timed(() => service.tokenize(SHORT_TEXT, LITERALLY)));
      const long = Array.from({ length: LONG_PROMPT_TOKENS }, (_, i) => ((i % 200) + 3) as TokenId);
      const longPromptMs: number[] = [];
      if (engine === 'fast') {
        for (let i = 0; i < 50; i++) longPromptMs.push((await turn(service, long, 1)).totalMs);
      }
      const textLoop = await loopDelay();
      const largeTextMs = await timed(() => service.tokenize(LARGE_TEXT, LITERALLY));
      const loopInText = await textLoop();
      await service.close();
      return {
        engine,
        where,
        startMs: Math.round(startMs),
        memoryMiB,
        turnP10Ms: rounded(quantile(turnMs, 0.1), 2),
        turnP50Ms: rounded(quantile(turnMs, 0.5), 2),
        turnP99Ms: rounded(quantile(turnMs, 0.99), 2),
        firstP50Ms: rounded(quantile(firstMs, 0.5), 2),
        gapP50Us: rounded(quantile(gapMs, 0.5) * 1000, 1),
        gapP99Us: rounded(quantile(gapMs, 0.99) * 1000, 1),
        cpuMsPerTurn: rounded(cpu.reduce((sum, ms) => sum + ms, 0) / TURNS, 1),
        tokenizeP50Us: rounded(quantile(tokenizeMs, 0.5) * 1000, 1),
        prompt32kP50Ms: longPromptMs.length === 0 ? '' : rounded(quantile(longPromptMs, 0.5), 2),
        text8MiBMs: Math.round(largeTextMs),
        loopStartMaxMs: loopAtStart.maxMs,
        loopTurnsP99Ms: loopInTurns.p99Ms,
        loopTurnsMaxMs: loopInTurns.maxMs,
        loopText8MiBMaxMs: loopInText.maxMs,
      };
    },
  };
}

async function turn(service: Service, prompt: readonly TokenId[], maxTokens = REPLY_TOKENS) {
  const startedMs = performance.now();
  let lastMs: number | undefined;
  let firstMs = 0;
  const gapsMs: number[] = [];
  const request = {
    prompt,
    maxTokens,
    stop: [],
    sampling: { temperature: 0, ignore_eos: true },
    affinity: 'bench',
    stream: true,
  };
  for await (const _ of service.generate(request, new AbortController().signal)) {
    const nowMs = performance.now();
    if (lastMs === undefined) firstMs = nowMs - startedMs;
    else gapsMs.push(nowMs - lastMs);
    lastMs = nowMs;
  }
  return { totalMs: performance.now() - startedMs, firstMs, gapsMs };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

/** How much later than asked timers of this process are called, until the returned function is called. */
async function loopDelay() {
  const lateMs: number[] = [];
  let timer: NodeJS.Timeout;
  const next = () => {
    const dueMs = performance.now() + 2;
    timer = setTimeout(() => {
      lateMs.push(performance.now() - dueMs);
      next();
    }, 2);
  };
  next();
  await new Promise((wake) => setTimeout(wake, 10));
  return async (): Promise<{ readonly p99Ms: number; readonly maxMs: number }> => {
    // What held the loop up until now is counted by the next timer.
    await new Promise((wake) => setTimeout(wake, 10));
    clearTimeout(timer);
    return { p99Ms: rounded(quantile(lateMs, 0.99), 1), maxMs: rounded(Math.max(...lateMs), 1) };
  };
}

/** Of this process and the engine's. */
function cpuMs(pid: number | undefined): number {
  const { user, system } = process.cpuUsage();
  const own = (user + system) / 1000;
  if (pid === undefined) return own;
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return own + (Number(fields[11]) + Number(fields[12])) * 10;
}

function rssMiB(pid: number | 'self' = 'self'): number {
  return Math.round(residentMiB(pid));
}

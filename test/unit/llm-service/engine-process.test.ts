// Engine processes that end, hang, come back as another model or not at all, in virtual time: what is under way must end
// with a retryable error, what comes later must wait for the next one, and nothing may be started twice or after the close.
import { afterEach, expect, test } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { hostEngine } from '../../../src/llm-service/engine-process/engine-host.ts';
import type { EngineProcess } from '../../../src/llm-service/engine-process/engine-link.ts';
import type { FromEngine, ToEngine } from '../../../src/llm-service/engine-process/messages.ts';
import { sentError } from '../../../src/llm-service/engine-process/sent-error.ts';
import { startEngineProcess } from '../../../src/llm-service/engine-process.ts';
import type { GenerationRequest, LlmService } from '../../../src/llm-service/llm-service.ts';
import { startScripted } from '../../../src/llm-service/scripted.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';

/** A process that never was one: messages are cloned as between two, and it ends when told to. */
class ProcessDouble implements EngineProcess {
  readonly pid: number;
  readonly ended: Promise<string>;
  killed = false;
  #end: (how: string) => void = () => {};
  #listener: (message: FromEngine) => void = () => {};
  #host: ((message: ToEngine) => void) | undefined;
  hasEnded = false;
  /** Says nothing more. */
  isFrozen = false;

  constructor(pid: number, start: { readonly service?: LlmService; readonly error?: Error }) {
    this.pid = pid;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    setImmediate(() => {
      if (start.error !== undefined) return this.say({ kind: 'not-started', error: sentError(start.error) });
      if (start.service === undefined) return;
      this.#host = hostEngine(start.service, (message) => this.say(message));
      const { description } = start.service;
      this.say({ kind: 'started', description, slots: start.service.slots().length });
    });
  }

  say(message: FromEngine): void {
    if (!this.hasEnded && !this.isFrozen) this.#listener(structuredClone(message));
  }

  send(message: ToEngine): void {
    if (!this.hasEnded) this.#host?.(structuredClone(message));
  }

  onMessage(listener: (message: FromEngine) => void): void {
    this.#listener = listener;
  }

  die(how: string): void {
    this.hasEnded = true;
    this.#end(how);
  }

  kill(): void {
    this.killed = true;
    this.die('SIGKILL');
  }
}

let environment: VirtualEnvironment;
let processes: ProcessDouble[];
let nextStart: () => { readonly service?: LlmService; readonly error?: Error };
let service: LlmService | undefined;

function launch(): ProcessDouble {
  const made = new ProcessDouble(processes.length + 1, nextStart());
  processes.push(made);
  return made;
}

async function started(): Promise<LlmService> {
  environment = virtualEnvironment();
  processes = [];
  nextStart = () => ({ service: startScripted({ delayMs: 10 }, environment) });
  service = await startEngineProcess(launch, environment);
  return service;
}
afterEach(() => service?.close());

const last = () => processes.at(-1) as ProcessDouble;

async function request(llm: LlmService): Promise<GenerationRequest> {
  const prompt = await llm.tokenize('hello there', { parseSpecial: false });
  return { prompt, maxTokens: 50, stop: [], sampling: {}, affinity: undefined, stream: true };
}

async function generate(llm: LlmService, signal = new AbortController().signal): Promise<string> {
  let text = '';
  for await (const event of llm.generate(await request(llm), signal)) if (event.kind === 'part') text += event.text;
  return text;
}

test('what runs when the process ends fails with a retryable error; what comes after that waits for the next', async () => {
  const llm = await started();
  const running = generate(llm);
  const failed = expect(running).rejects.toMatchObject({
    code: 'llm_unavailable',
    retry: true,
    message: expect.stringContaining('SIGABRT'),
  });
  await environment.advance(5);
  last().die('SIGABRT');
  await failed;
  expect(llm.process).toEqual({ isUp: false, pid: undefined, restarts: 0 });
  await expect(llm.ready()).rejects.toMatchObject({ code: 'llm_unavailable' });
  const waiting = generate(llm);
  await environment.advance(200);
  await environment.advance(1_000);
  expect(await waiting).not.toBe('');
  expect(llm.process).toEqual({ isUp: true, pid: 2, restarts: 1 });
  await llm.ready();
  expect(environment.logLines.map(({ event }) => event)).toEqual(['llm.engine_ended', 'llm.engine_restarted']);
});

test('what it was to forget when it ended is asked of the next one, and refused by nobody', async () => {
  const llm = await started();
  const asked: string[] = [];
  last().isFrozen = true;
  const next = startScripted({ delayMs: 10 }, environment);
  Object.assign(next.warming as object, { forgetAll: async (part: string) => void asked.push(part) });
  nextStart = () => ({ service: next });
  let isForgotten = false;
  const forgetting = llm.warming?.forgetAll('ada').then(() => {
    isForgotten = true;
  });
  await environment.advance(1_000);
  expect(isForgotten).toBe(false);
  last().die('SIGKILL');
  await environment.advance(1_000);
  await forgetting;
  expect(asked).toEqual(['ada']);
  await llm.close();
  await expect(llm.warming?.forgetAll('ada')).rejects.toMatchObject({ code: 'llm_unavailable' });
});

test('an engine that goes on and cannot forget says so, and is asked again by whoever wants it so', async () => {
  const llm = await started();
  const failing = startScripted({ delayMs: 10 }, environment);
  let asked = 0;
  const forgetAll = async () => {
    if (++asked === 1) throw new DiscedgeError('llm_unavailable', 'not now');
  };
  Object.assign(failing.warming as object, { forgetAll });
  nextStart = () => ({ service: failing });
  last().die('SIGKILL');
  await environment.advance(1_000);
  const told: unknown[] = [];
  llm.warming?.forgetAll('ada').then(
    () => told.push('forgotten'),
    (error: unknown) => told.push(error),
  );
  await environment.advance(0);
  expect(told).toMatchObject([{ code: 'llm_unavailable', message: 'not now' }]);
  await llm.warming?.forgetAll('ada');
  expect([asked, llm.process?.restarts]).toEqual([2, 1]);
});

test('one that ends again and again is started ever more seldom, and a call that waits is told so', async () => {
  const llm = await started();
  nextStart = () => ({ error: new DiscedgeError('model_unusable', 'gone') });
  last().die('SIGKILL');
  const waiting = expect(llm.tokenize('x', { parseSpecial: false })).rejects.toMatchObject({
    code: 'llm_unavailable',
    retryAfterMs: expect.any(Number),
  });
  await environment.advance(10_000);
  await waiting;
  const soon = processes.length;
  expect(soon).toBeLessThanOrEqual(8);
  await environment.advance(300_000);
  expect(processes.length - soon).toBeLessThanOrEqual(11);
  nextStart = () => ({ service: startScripted({}, environment) });
  await environment.advance(30_000);
  expect(llm.process?.isUp).toBe(true);
});

test('another model in the same file is not served', async () => {
  const llm = await started();
  nextStart = () => ({ service: startScripted({ modelName: 'another' }, environment) });
  last().die('SIGKILL');
  await environment.advance(1_000);
  expect(llm.process?.isUp).toBe(false);
  expect(last().killed).toBe(true);
  expect(environment.logLines.at(-1)).toMatchObject({ event: 'llm.engine_start_failed' });
});

test('one that hangs takes no more calls, lets what runs beside end, and is ended then', async () => {
  const llm = await started();
  const running = generate(llm);
  await environment.advance(5);
  const [first] = processes as [ProcessDouble];
  first.say({ kind: 'stuck' });
  const next = generate(llm);
  await environment.advance(0);
  expect(first.killed).toBe(false);
  await environment.advance(1_000);
  expect(await running).not.toBe('');
  expect(first.killed).toBe(true);
  await environment.advance(1_000);
  expect(await next).not.toBe('');
  expect(processes).toHaveLength(2);
});

test('one whose event loop hangs is ended, with the calls that wait for it', async () => {
  const llm = await started();
  await environment.advance(600_000);
  expect(processes).toHaveLength(1);
  last().isFrozen = true;
  const silent = expect(generate(llm)).rejects.toMatchObject({ code: 'llm_unavailable', retry: true });
  const unready = expect(llm.ready()).rejects.toMatchObject({ code: 'llm_unavailable' });
  await environment.advance(10_000);
  await unready;
  await environment.advance(120_000);
  await silent;
  expect(processes[0]?.killed).toBe(true);
  expect(llm.process).toEqual({ isUp: true, pid: 2, restarts: 1 });
});

test('a machine that has no memory for another process is asked again later', async () => {
  const llm = await started();
  nextStart = () => {
    throw new Error('spawn ENOMEM');
  };
  last().die('SIGKILL');
  await environment.advance(1_000);
  expect(llm.process).toEqual({ isUp: false, pid: undefined, restarts: 0 });
  expect(environment.logLines.at(-1)).toMatchObject({ event: 'llm.engine_start_failed' });
  nextStart = () => ({ service: startScripted({}, environment) });
  await environment.advance(30_000);
  expect(llm.process).toMatchObject({ isUp: true, restarts: 1 });
  await llm.close();
});

test('what does not end beside one that hangs is ended with it', async () => {
  const llm = await started();
  nextStart = () => ({ service: startScripted({}, environment) });
  const endless = { ...(await request(llm)), maxTokens: 1e6, sampling: { ignore_eos: true } };
  const running = (async () => {
    for await (const _ of llm.generate(endless, new AbortController().signal));
  })();
  const failed = expect(running).rejects.toMatchObject({ code: 'llm_unavailable', retry: true });
  await environment.advance(5);
  processes[0]?.say({ kind: 'stuck' });
  await environment.advance(31_000);
  await failed;
  expect(llm.process).toMatchObject({ isUp: true, restarts: 1 });
});

test('one in which a call hangs is not kept by what waits there to be warmed', async () => {
  const llm = await started();
  const outcome = { cachedTokens: 0, restoredTokens: 0, evaluatedTokens: 0, end: 'stopped' as const };
  nextStart = () => {
    const hanging = startScripted({}, environment);
    // As it would wait for ever for the generation that hangs.
    const warm = (_: unknown, signal: AbortSignal) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(outcome)));
    Object.assign(hanging.warming ?? {}, { warm });
    return { service: hanging };
  };
  last().die('SIGKILL');
  await environment.advance(1_000);
  const warmed = llm.warming?.warm({ prompt: [1] as never, affinity: 'a', chance: 1 }, never());
  await environment.advance(1);
  last().say({ kind: 'stuck' });
  await environment.advance(1);
  expect(await warmed).toEqual(outcome);
  expect(processes[1]?.killed).toBe(true);
});

test('a close does not wait for what runs beside one that hangs', async () => {
  const llm = await started();
  const failed = expect(generate(llm)).rejects.toMatchObject({ code: 'llm_unavailable' });
  await environment.advance(5);
  last().say({ kind: 'stuck' });
  await llm.close();
  await failed;
  expect(last().killed).toBe(true);
});

test('a first start that fails says why, one that just ends does too, and neither leaves a process', async () => {
  environment = virtualEnvironment();
  processes = [];
  service = undefined;
  nextStart = () => ({ error: new DiscedgeError('model_unusable', 'not a GGUF') });
  await expect(startEngineProcess(launch, environment)).rejects.toMatchObject({ code: 'model_unusable' });
  expect(last().killed).toBe(true);
  nextStart = () => ({});
  const ending = expect(startEngineProcess(launch, environment)).rejects.toMatchObject({
    code: 'model_unusable',
    message: expect.stringMatching(/loads the model.*SIGKILL/),
  });
  last().die('SIGKILL');
  await ending;
  const stop = new AbortController();
  const aborted = expect(startEngineProcess(launch, environment, stop.signal)).rejects.toThrow();
  stop.abort();
  await aborted;
  expect(last().killed).toBe(true);
});

test('a close while it is started again ends that start, and nothing is started afterwards', async () => {
  for (const waitMs of [0, 200]) {
    const llm = await started();
    nextStart = () => ({});
    last().die('SIGKILL');
    await environment.advance(waitMs);
    await llm.close();
    expect(processes.every(({ hasEnded }) => hasEnded)).toBe(true);
    const { length } = processes;
    await environment.advance(100_000);
    expect(processes).toHaveLength(length);
    await expect(generate(llm)).rejects.toMatchObject({ code: 'llm_unavailable' });
  }
});

test('what is stopped before it reaches the engine is not warmed there: its session may have been forgotten by then', async () => {
  const llm = await started();
  nextStart = () => ({ service: startScripted({ cache: { sequences: 2, msPerToken: 10 } }, environment) });
  last().die('SIGKILL');
  await environment.advance(1_000);
  const prompt = await llm.tokenize('a context from elsewhere', { parseSpecial: false });
  const stop = new AbortController();
  const warmed = llm.warming?.warm({ prompt, affinity: 'gone', chance: 1 }, stop.signal);
  llm.warming?.forget('gone');
  stop.abort();
  await environment.advance(1_000);
  expect(await warmed).toMatchObject({ end: 'stopped' });
  expect(llm.warming?.status().warmedTokens).toBe(0);
});

test('warming ends with the engine that it is in, which is no error, and what was warm there is waste', async () => {
  const llm = await started();
  nextStart = () => ({ service: startScripted({ cache: { sequences: 2, msPerToken: 10 } }, environment) });
  last().die('SIGKILL');
  await environment.advance(1_000);
  const prompt = await llm.tokenize('a context from elsewhere', { parseSpecial: false });
  const warm = (affinity: string) => llm.warming?.warm({ prompt, affinity, chance: 1 }, new AbortController().signal);
  const first = warm('first');
  await environment.advance(1_000);
  expect(await first).toMatchObject({ end: 'warm', evaluatedTokens: prompt.length });
  expect(llm.warming?.status()).toMatchObject({ warmedTokens: prompt.length, heldTokens: prompt.length });
  expect(llm.warming?.speed()?.msPerToken).toBe(10);
  const second = warm('second');
  await environment.advance(50);
  last().die('SIGKILL');
  expect(await second).toMatchObject({ end: 'failed' });
  await environment.advance(1_000);
  expect(llm.warming?.status()).toMatchObject({ wastedTokens: prompt.length, heldTokens: 0 });
  const third = warm('third');
  await environment.advance(1_000);
  expect(await third).toMatchObject({ end: 'warm' });
  expect(llm.warming?.status().warmedTokens).toBe(2 * prompt.length);
  await expect(llm.warming?.warm({ prompt: [], affinity: 'x', chance: 1 }, never())).rejects.toMatchObject({
    code: 'invalid_request',
  });
});

test('a close lets an engine that keeps state save it, for a bounded time', async () => {
  for (const isObedient of [true, false]) {
    const llm = await started();
    const engine = last();
    engine.say({ kind: 'kept', status: { bytes: 0, files: 0, saves: 0, restores: 0, refused: 0, dropped: 0 } });
    const { send } = engine;
    const heard: string[] = [];
    engine.send = (message) => {
      heard.push(message.kind);
      if (message.kind === 'close' && isObedient) engine.die('exit code 0');
      else send.call(engine, message);
    };
    const closing = llm.close();
    await environment.advance(1);
    expect(heard).toEqual(['close']);
    expect(engine.hasEnded).toBe(isObedient);
    if (!isObedient) await environment.advance(10_000);
    await closing;
    expect(engine.hasEnded).toBe(true);
  }
});

const never = () => new AbortController().signal;

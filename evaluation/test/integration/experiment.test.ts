/**
 * Runs experiments as users do, with the built command line, real nodes, real nats-servers, a real llama-server and the
 * demo model; interrupts one half-way, and asks for what is not there. Looks for rows that contradict each other or what was
 * asked for, for bytes that are none of the wire's, and for processes and folders that are left.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { findProgram } from '../../../tools/processes.ts';
import { llamaServerProgram } from '../../../tools/real-servers/llama-server-program.ts';
import { natsPrograms } from '../../../tools/real-servers/nats-programs.ts';
import { type RecordedExperiment, readExperiment } from '../../src/experiments/rows/read-experiment.ts';
import { whyNoNamespaces } from '../../src/network/namespace-run.ts';
import { type CliRun, runCli, startCli } from '../support/run-cli.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 120_000;

const folder = temporaryFolder();
let natsProgram: string;
let runs = 0;
let results: string;
let scratch: string;
beforeAll(async () => {
  natsProgram = (await natsPrograms())[0]?.path as string;
});
beforeEach(enterPlace);
afterAll(() => folder.remove());

/** Rows and temporary folders of what is run from here on go where nothing else is. */
function enterPlace(): void {
  runs++;
  results = join(folder.path, `results-${runs}`);
  scratch = join(folder.path, `scratch-${runs}`);
  mkdirSync(scratch);
}

const options = () => ({ cwd: folder.path, env: { TMPDIR: scratch } });
/** With these programs there is neither unshare nor a compiler. */
const bare = () => ({ cwd: folder.path, env: { TMPDIR: scratch, PATH: folder.path } });
const argsOf = (args: readonly string[]) => ['experiment', ...args, '--nats-program', natsProgram, '-o', results];
const experiment = (...args: string[]): Promise<CliRun> => runCli(argsOf(args), options());

function fileOf(): string {
  const files = readdirSync(results);
  expect(files).toHaveLength(1);
  return join(results, files[0] as string);
}

const recorded = (): RecordedExperiment => readExperiment(fileOf());

/** Plays it to its end, which leaves nothing but rows. */
async function played(...args: string[]): Promise<RecordedExperiment> {
  const { code, stderr } = await experiment(...args);
  expect(code, stderr).toBe(0);
  expect(readdirSync(scratch)).toEqual([]);
  const run = recorded();
  expect(run.complete).toBe(true);
  return run;
}

const turnsOf = ({ turns }: RecordedExperiment, part: string, variant: string) =>
  turns.filter(({ labels }) => labels.part === part && labels.variant === variant);

const sent = (run: RecordedExperiment, part: string, variant: string) =>
  turnsOf(run, part, variant).map(({ request_bytes }) => request_bytes);

const agreements = ({ checks }: RecordedExperiment) => checks.map(({ agrees }) => agrees);

describe('the paper, on one network interface', () => {
  it('is played part by part, and says what it shows and what it does not', async () => {
    const parts = ['--part', 'written-replies', 'openai'];
    const { code, stdout, stderr } = await experiment('paper', '--quick', '--network', 'loopback', ...parts);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/^1\/5 .* about \d+ s left$/m);
    expect(stdout).toMatch(/token counts agree between the variants in 2 of 2 comparisons/);
    expect(stdout).toMatch(/complete: 5 plays/);
    const run = recorded();
    expect(run).toMatchObject({ complete: true, end: { plays_planned: 5, plays_done: 5 } });
    expect(run.start).toMatchObject({ experiment: 'paper', quick: true, seed: 123, model: { reply_source: 'model' } });
    expect(run.turns).toHaveLength(5 * 4);
    expect(run.notes.map(({ text }) => text)).toContainEqual(expect.stringMatching(/payload as the store counts it/));
    expect(agreements(run)).toEqual([true, true]);
    expect(turnsOf(run, 'written-replies', 'raw').map(({ labels }) => labels.reply_source)).toContain('transcript');

    const [chatFirst = 0, , , chatLast = 0] = sent(run, 'openai', 'chat');
    expect(chatLast).toBeGreaterThan(chatFirst * 1.5);
    expect(Math.max(...sent(run, 'openai', 'responses'))).toBeLessThan(850);

    // A session is what its turns are together; nothing is known of the wire.
    for (const variant of ['tokenized', 'raw']) {
      const syncs = run.syncs.filter(({ labels }) => labels.part === 'written-replies' && labels.variant === variant);
      expect(syncs.map(({ turn }) => turn)).toEqual([1, 2, 3, 4, null]);
      const [session, ...turns] = [...syncs].reverse().map(({ payload_bytes }) => payload_bytes as number);
      expect(turns.every((bytes) => bytes > 0)).toBe(true);
      expect(session).toBeGreaterThanOrEqual(turns.reduce((sum, bytes) => sum + bytes, 0));
      expect(syncs.map(({ wire_bytes, measured }) => [wire_bytes, measured])).toEqual(
        syncs.map(() => [null, 'store-counters']),
      );
    }
    expect(readdirSync(scratch)).toEqual([]);
  });

  it('hands over to a node that has evaluated ahead what was said elsewhere, and to one that has not', async () => {
    const run = await played('paper', '--quick', '--network', 'loopback', '--part', 'handover');
    const evaluated = (variant: string) =>
      turnsOf(run, 'handover', variant).find(({ moved }) => moved)?.evaluated_tokens as number;
    // The message and what frames it, against the whole conversation.
    expect(evaluated('warmed')).toBeLessThan(evaluated('cold'));
    expect(evaluated('cold')).toBeGreaterThan(60);
    expect(evaluated('client-side')).toBe(evaluated('cold'));
  });

  it('shows where raw text and history cost more: cache lost, slow tokenizer, long context', async () => {
    const parts = ['--part', 'cache-lost', 'slow-tokenizer', 'long-context'];
    const run = await played('paper', '--quick', '--network', 'loopback', ...parts);
    expect(run.end).toMatchObject({ plays_done: 11 });
    const later = (part: string, setting: string, variant: string) =>
      turnsOf(run, part, variant).filter(({ labels, turn }) => labels.setting === setting && turn > 1);

    // What a KV cache had is not evaluated again; without it all is.
    for (const variant of ['tokenized', 'raw']) {
      for (const { cached_tokens, evaluated_tokens, prompt_tokens } of later('cache-lost', 'cache-kept', variant)) {
        expect(evaluated_tokens).toBeLessThan((prompt_tokens as number) / 2 + 20);
        expect(cached_tokens).toBeGreaterThan(20);
      }
      for (const setting of ['slot-taken', 'node-restarted']) {
        const cached = later('cache-lost', setting, variant).map(({ cached_tokens }) => cached_tokens as number);
        expect(cached).toHaveLength(3);
        expect(Math.max(...cached)).toBeLessThan(10);
      }
    }

    // At two thousand ids a second half of the prompt takes at least so long.
    const slow = later('slow-tokenizer', 'tokenizer-2000-per-s', 'raw');
    expect(slow).toHaveLength(3);
    for (const { first_token_ms, prompt_tokens } of slow) {
      expect(first_token_ms).toBeGreaterThan(((prompt_tokens as number) / 2 / 2_000) * 1_000);
    }

    const [ofHistory = 0, ofMessage = 0] = ['client-side', 'tokenized'].map((variant) =>
      Math.min(...later('long-context', 'ours', variant).map((row) => row.request_bytes)),
    );
    expect(ofHistory).toBeGreaterThan(ofMessage + 800);
  });
});

const whyNot = whyNoNamespaces();
const becauseOf = whyNot === undefined ? '' : ` (${whyNot})`;
const network = ['--network', whyNot === undefined ? 'namespaces' : 'loopback'];

describe('the paper, at one node', () => {
  let run: RecordedExperiment;
  beforeAll(async () => {
    enterPlace();
    const parts = ['--part', 'edge-side', ...(whyNot === undefined ? ['slow-uplink'] : [])];
    run = await played('paper', '--quick', ...network, ...parts);
  });

  it('ids and text read and write equally many', () => {
    expect(run.checks.filter(({ part }) => part === 'edge-side')).toMatchObject([{ agrees: true }]);
    expect(turnsOf(run, 'edge-side', 'tokenized')).toHaveLength(4);
  });

  it.skipIf(whyNot !== undefined)(`bytes are those on the wire${becauseOf}`, () => {
    expect(run.syncs).not.toHaveLength(0);
    for (const { payload_bytes, wire_bytes, packets, measured } of run.syncs) {
      expect(measured).toBe('network-counters');
      // A packet has at least its IP and TCP heads, and what it carries is encrypted and so longer than it was.
      expect(wire_bytes).toBeGreaterThanOrEqual((payload_bytes as number) + 40 * (packets as number));
    }
  });

  it.skipIf(whyNot !== undefined)(`a slow link is as slow as it was asked for${becauseOf}`, () => {
    // 40 ms there and 40 ms back: less is impossible however fast the machine.
    const uplink = run.turns.filter(({ labels }) => labels.part === 'slow-uplink');
    expect(uplink).not.toHaveLength(0);
    expect(Math.min(...uplink.map(({ first_token_ms }) => first_token_ms as number))).toBeGreaterThan(80);
    const slow = run.start.parts.find(({ part }) => part === 'slow-uplink')?.networks['10mbit-40ms'];
    expect(slow?.client_link).toEqual({ delay_ms: 40, loss: 0, mbit_per_s: 10 });
  });
});

describe('the paper, from node to node', () => {
  let run: RecordedExperiment;
  beforeAll(async () => {
    enterPlace();
    const asked = ['--client-delay-ms', '30', '--client-mbit', '20', '--node-delay-ms', '15', '--node-loss', '0.001'];
    const links = whyNot === undefined ? asked : [];
    run = await played('paper', '--quick', ...network, '--part', 'roaming', ...links);
  });

  it('a client that keeps the history sends more with each turn, one whose nodes keep it does not', () => {
    expect(agreements(run)).toEqual([true, true]);
    const [first = 0, , , last = 0] = sent(run, 'roaming', 'client-side');
    expect(last).toBeGreaterThan(first * 1.5);
    expect(Math.max(...sent(run, 'roaming', 'tokenized'))).toBeLessThan(450);
    const moves = turnsOf(run, 'roaming', 'client-side').map(({ node, moved }) => [node, moved]);
    expect(moves).toEqual([
      ['edge-1', false],
      ['edge-1', false],
      ['edge-2', true],
      ['edge-2', false],
    ]);
  });

  it.skipIf(whyNot !== undefined)(`links are as they were asked for${becauseOf}`, () => {
    expect(run.start.parts[0]?.networks.ours).toEqual({
      kind: 'namespaces',
      client_link: { delay_ms: 30, loss: 0, mbit_per_s: 20 },
      node_link: { delay_ms: 15, loss: 0.001, mbit_per_s: null },
    });
    expect(Math.min(...run.turns.map(({ first_token_ms }) => first_token_ms as number))).toBeGreaterThan(60);
    // After a move the context has to come over a link of 15 ms.
    expect(run.turns.filter(({ moved, error }) => moved && error === '')).toHaveLength(3);
  });
});

describe.skipIf(whyNot !== undefined)(`in network namespaces${becauseOf}`, () => {
  it.each([
    ['killed', (child: ChildProcess) => child.kill('SIGTERM')],
    ['interrupted at its terminal', (child: ChildProcess) => process.kill(-(child.pid as number), 'SIGINT')],
  ])('an experiment that is %s leaves neither processes nor folders', async (_, stop) => {
    const cli = startCli(argsOf(['paper', '--quick', '--network', 'namespaces', '--part', 'roaming']), options());
    await cli.sees(/^2\/3 /m);
    stop(cli.child);
    const { code, stderr } = await cli.done;
    expect(stderr.match(/stopping/g)).toHaveLength(1);
    expect(code).toBeGreaterThan(0);
    expect(recorded()).toMatchObject({ complete: false, end: { reason: 'interrupted', plays_done: 1 } });
    expect(readdirSync(scratch)).toEqual([]);
  });
});

it('an experiment that is interrupted keeps what there is and says that it is incomplete', async () => {
  const cli = startCli(argsOf(['paper', '--quick', '--network', 'loopback', '--part', 'cache-lost']), options());
  await cli.sees(/^2\/6 /m);
  await vi.waitFor(() => expect(readFileSync(fileOf(), 'utf8')).toMatch(/"kind":"turn".*"order":2/), WAIT_MS);
  cli.interrupt();
  const { code, stdout } = await cli.done;
  expect(stdout).toMatch(/incomplete \(interrupted\): 1 of 6 plays/);
  expect(code).toBe(1);
  const run = recorded();
  expect(run).toMatchObject({ complete: false, end: { reason: 'interrupted', plays_done: 1, plays_planned: 6 } });
  expect(run.turns.filter(({ labels }) => labels.order === 1)).toHaveLength(4);
  expect(readdirSync(scratch)).toEqual([]);
});

it('growth, where namespaces cannot be had and nobody asked for them: a turn is shared in the bytes that it added, a whole context in more and more', async () => {
  const quick = ['--quick', '--turns', '5', '--tokens', '24', '--part', 'replication'];
  const { code, stderr } = await runCli(argsOf(['growth', ...quick]), bare());
  expect(stderr).toMatch(
    /^no network namespaces \(there is no C compiler.*\): bytes between nodes are those of the payload$/m,
  );
  expect(code, stderr).toBe(0);
  const run = recorded();
  expect(run.start.parts.map(({ networks }) => networks.ours?.kind)).toEqual(['loopback']);
  expect(run.notes.map(({ text }) => text)).toContainEqual(expect.stringMatching(/past the Context Manager/));
  const payloads = (variant: string) => {
    const syncs = run.syncs.filter(({ labels, turn }) => labels.variant === variant && turn !== null);
    expect(syncs.every(({ append_ms, arrive_ms }) => (append_ms as number) > 0 && (arrive_ms as number) > 0)).toBe(
      true,
    );
    return syncs.map(({ payload_bytes }) => payload_bytes as number);
  };
  const [delta, whole, json] = ['delta', 'whole-context', 'whole-context-json'].map(payloads) as number[][];
  expect(delta).toHaveLength(5);
  expect(Math.max(...(delta as number[]).slice(1))).toBeLessThan((whole as number[])[4] as number);
  expect((whole as number[])[4]).toBeGreaterThan(((whole as number[])[1] as number) * 1.5);
  expect((json as number[])[4]).toBeGreaterThan((whole as number[])[4] as number);
});

it('growth: a conversation as its client saw it, and what its nodes told each other', async () => {
  const quick = ['--quick', '--turns', '5', '--network', 'loopback', '--part', 'conversation', '--nodes', '3'];
  const run = await played('growth', ...quick);
  expect(run.start.parts).toMatchObject([{ part: 'conversation', nodes: 3, turns: 5 }]);
  for (const variant of ['tokenized', 'raw', 'client-side']) {
    expect(turnsOf(run, 'conversation', variant).map(({ turn, error }) => [turn, error])).toEqual(
      [1, 2, 3, 4, 5].map((turn) => [turn, '']),
    );
  }
  const pairs = run.syncs.filter(({ labels, turn }) => labels.variant === 'tokenized' && turn === null);
  expect(pairs.map(({ nodes }) => nodes.join()).sort()).toEqual(['edge-1,edge-2', 'edge-1,edge-3', 'edge-2,edge-3']);
});

it('load: users at an edge node and at the bare llama-server behind it', async () => {
  const program = await llamaServerProgram();
  const service = ['--llm-service', 'llama-server', '--llama-server', program];
  const run = await played('load', '--quick', '--users', '1,3', '--network', 'loopback', ...service);
  expect(run.start.llm_services).toEqual([{ name: 'llama-server', version: expect.stringMatching(/^\d/) }]);
  const levels = run.loads.map(({ labels, users, turns_answered, turns_failed }) => {
    return `${labels.variant} ${users} users: ${turns_answered} answered, ${turns_failed} failed`;
  });
  expect(levels.sort()).toEqual([
    'llama-server 1 users: 3 answered, 0 failed',
    'llama-server 3 users: 9 answered, 0 failed',
    'tokenized 1 users: 3 answered, 0 failed',
    'tokenized 3 users: 9 answered, 0 failed',
  ]);
  for (const { response_ms, turns_per_s, labels } of run.loads) {
    const own = run.turns.filter((row) => row.labels.order === labels.order).map((row) => row.response_ms);
    expect([Math.min(...own) <= (response_ms.p50 as number), response_ms.p99]).toEqual([true, Math.max(...own)]);
    expect(turns_per_s).toBeGreaterThan(0);
  }
  // The history goes along with every turn, but not to where it is kept.
  const third = (variant: string) =>
    run.turns
      .filter(({ labels, turn }) => labels.variant === variant && turn === 3)
      .map(({ prompt_chars }) => prompt_chars);
  expect(Math.min(...third('llama-server'))).toBeGreaterThan(Math.max(...third('tokenized')));
});

it('what it started ends with it, even when it is killed', async (context) => {
  if (findProgram('setpriv') === undefined) context.skip('there is no setpriv, without which a llama-server goes on');
  const service = ['--llm-service', 'llama-server', '--llama-server', await llamaServerProgram()];
  const cli = startCli(argsOf(['load', '--quick', '--network', 'loopback', ...service]), options());
  await cli.sees(/^1\/\d+ /m);
  const { pid } = cli.child;
  await vi.waitFor(() => expect(readFileSync(fileOf(), 'utf8')).toContain('"kind":"turn"'), WAIT_MS);
  const started = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  expect(started.length).toBeGreaterThan(0);
  cli.child.kill('SIGKILL');
  await cli.done;
  await vi.waitFor(() => expect(started.filter((child) => existsSync(`/proc/${child}`))).toEqual([]), WAIT_MS);
});

describe('what cannot be had', () => {
  it('namespaces that are asked for are not done without', async () => {
    const { code, stderr } = await runCli(argsOf(['paper', '--quick', '--client-mbit', '10']), bare());
    expect(stderr).toMatch(/the network that is asked for cannot be made: there is no C compiler/);
    expect(code).toBe(1);
  });

  it.each([
    [['paper', '--quick', '--model', 'none.gguf'], 1, /none\.gguf does not exist/],
    [
      ['paper', '--quick', '--part', 'romaing', '--network', 'loopback'],
      2,
      /no part romaing here; it has edge-side, roaming/,
    ],
    [['paper', '--network', 'loopback', '--client-delay-ms', '40'], 2, /need --network namespaces, not loopback/],
    [['paper', '--client-loss', '7'], 2, /must be a number from 0 to 1/],
    [['load', '--users', '0'], 2, /must be a whole number from 1/],
    [
      [
        'paper',
        '--quick',
        '--network',
        'loopback',
        '--llm-service',
        'llama-server',
        '--llama-server',
        '../../../test/integration/none',
      ],
      1,
      /none cannot be run \(ENOENT\); name it with --llama-server/,
    ],
  ])('%j is refused', async (args, status, message) => {
    const { code, stderr } = await experiment(...(args as string[]));
    expect(stderr).toMatch(message as RegExp);
    expect(code).toBe(status);
    expect(readdirSync(scratch)).toEqual([]);
  });
});

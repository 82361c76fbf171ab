import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  EXPERIMENT_FORMAT,
  type ExperimentEnd,
  type ExperimentName,
  type ExperimentRow,
  type ExperimentStart,
  type ExperimentTurn,
  type LoadRow,
  type NetworkFacts,
  type PartFacts,
  type PlayLabels,
  type SyncRow,
} from '../../src/experiments/rows/experiment-rows.ts';
import { ROW_FORMAT, type RunRow } from '../../src/scenario/run-row.ts';

// Rows as the experiments write them, with numbers of the size that was measured and noise from a seed. They are made
// up: only their form is real.

const AT = '2026-11-21T12:00:00.000Z';
const MACHINE = '2 × Sample CPU @ 2.20GHz, 8 GiB, linux x64, Node.js v20.20.2';
const LOOPBACK: NetworkFacts = {
  kind: 'loopback',
  client_link: { delay_ms: 0, loss: 0, mbit_per_s: null },
  node_link: { delay_ms: 0, loss: 0, mbit_per_s: null },
};
const NAMESPACES: NetworkFacts = { ...LOOPBACK, kind: 'namespaces' };
const UPLINK: NetworkFacts = {
  kind: 'namespaces',
  client_link: { delay_ms: 40, loss: 0.001, mbit_per_s: 10 },
  node_link: { delay_ms: 10, loss: 0, mbit_per_s: 100 },
};

export interface SampleOptions {
  /** Of the noise. */
  readonly seed?: number;
  readonly repeats?: number;
  /** What tokenized response times are multiplied with: below 1, tokenized is faster. */
  readonly tokenizedTimes?: number;
  readonly run?: string;
}

const NODE_OF_TURN = [1, 1, 2, 2, 1, 1, 2, 2, 2];

const SERVICES = [
  ['embedded', 7_400],
  ['llama-server', 6_800],
] as const;

/** The parts of `discedge experiment paper`, at two LLM Services. */
export function paperRows(options: SampleOptions = {}): ExperimentRow[] {
  const { repeats = 3, tokenizedTimes = 0.97, run = 'paper-20261121-120000' } = options;
  const sample = new Sample(run, options.seed ?? 1);
  const rows: ExperimentRow[] = [
    sample.start('paper', repeats, [
      sample.part(
        'edge-side',
        'Context kept on the edge node; one node answers, its records go to another.',
        NAMESPACES,
      ),
      sample.part('roaming', 'The client goes from node to node.', NAMESPACES),
      sample.part('written-replies', 'Replies of real language, written beforehand; no model runs.', NAMESPACES),
      sample.part('cache-lost', 'What the KV cache is worth.', LOOPBACK),
      sample.part('long-context', 'A long document in the first message: what the later turns cost.', LOOPBACK),
      sample.part('slow-uplink', 'The long document, and a client behind a slow link.', UPLINK),
    ]),
  ];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const [llm_service, base] of SERVICES) {
      for (const variant of ['raw', 'tokenized'] as const) {
        const labels = sample.labels({ part: 'edge-side', variant, llm_service, repeat });
        const factor = variant === 'tokenized' ? tokenizedTimes : 1;
        for (let turn = 1; turn <= 9; turn++) {
          rows.push(sample.turn(labels, { turn, responseMs: (base + turn * 45) * factor }));
        }
        rows.push(...sample.session(labels, variant === 'raw' ? 900 : 560));
      }
      rows.push(...roamingRows(sample, { llm_service, repeat }, base));
      rows.push(...conditionRows(sample, { llm_service, repeat }));
      for (const [variant, ms] of [
        ['tokenized', 1_900],
        ['raw', 2_150],
        ['client-side', 2_300],
      ] as const) {
        const labels = sample.labels({ part: 'long-context', variant, llm_service, repeat });
        for (let turn = 1; turn <= 5; turn++) {
          const requestBytes = variant === 'client-side' || turn === 1 ? 14_500 + turn * 300 : 410;
          rows.push(sample.turn(labels, { turn, responseMs: turn === 1 ? 14_000 : ms + turn * 30, requestBytes }));
        }
      }
    }
    for (const variant of ['raw', 'tokenized'] as const) {
      const facts = { part: 'written-replies', variant, llm_service: 'transcript', repeat };
      const labels = sample.labels({ ...facts, reply_source: 'transcript' });
      for (let turn = 1; turn <= 9; turn++) rows.push(sample.turn(labels, { turn, responseMs: 3 }));
      rows.push(...sample.session(labels, variant === 'raw' ? 860 : 560));
    }
  }
  rows.push({
    kind: 'check',
    experiment_format: EXPERIMENT_FORMAT,
    at: AT,
    check: 'token_counts',
    part: 'edge-side',
    setting: 'ours',
    llm_service: 'embedded',
    repeat: 1,
    variants: ['raw', 'tokenized'],
    agrees: false,
    differences: [{ turn: 4, prompt_tokens: [612, 611], reply_tokens: [128, 128] }],
  });
  rows.push({
    kind: 'note',
    experiment_format: EXPERIMENT_FORMAT,
    at: AT,
    part: 'slow-uplink',
    text: 'Links are as they are set from the first packet on.',
  });
  rows.push(sample.end(repeats));
  return rows;
}

/** What the client keeps is compared with every consistency setting of the nodes. */
function roamingRows(sample: Sample, facts: Pick<PlayLabels, 'llm_service' | 'repeat'>, base: number): ExperimentRow[] {
  const plays = [
    ['tokenized', 'ours'],
    ['tokenized', 'paper'],
    ['client-side', 'any'],
  ] as const;
  return plays.flatMap(([variant, setting]) => {
    const labels = sample.labels({ part: 'roaming', variant, setting, ...facts });
    return NODE_OF_TURN.map((place, index) => {
      const turn = index + 1;
      const moved = [3, 5, 7].includes(turn);
      const cold = moved && variant === 'client-side' ? turn * 190 : 0;
      const uploads = variant === 'client-side' ? turn * 38 : 0;
      const responseMs = base + turn * 45 + uploads + cold;
      const requestBytes = variant === 'client-side' ? 520 + turn * 690 : 410;
      return sample.turn(labels, { turn, responseMs, requestBytes, node: `edge-${place}`, moved });
    });
  });
}

function conditionRows(sample: Sample, facts: Pick<PlayLabels, 'llm_service' | 'repeat'>): ExperimentRow[] {
  const conditions = [
    ['cache-lost', 'raw', 'cache-kept', 0.998, 2_100],
    ['cache-lost', 'raw', 'slot-taken', 0.985, 3_400],
    ['cache-lost', 'raw', 'node-restarted', 0.955, 3_900],
    ['slow-uplink', 'client-side', '10mbit-40ms', 0.96, 2_450],
    ['slow-uplink', 'client-side', '1mbit-40ms', 0.82, 2_700],
  ] as const;
  return conditions
    .filter(([, , setting]) => setting !== 'node-restarted' || facts.llm_service === 'embedded')
    .flatMap(([part, baseline, setting, factor, ms]) =>
      ['tokenized', baseline].flatMap((variant) => {
        const labels = sample.labels({ part, variant, setting, ...facts });
        const responseMs = ms * (variant === 'tokenized' ? factor : 1);
        return [1, 2, 3, 4, 5].map((turn) => sample.turn(labels, { turn, responseMs }));
      }),
    );
}

/** The parts of `discedge experiment growth`. */
export function growthRows(options: SampleOptions = {}): ExperimentRow[] {
  const { repeats = 3, run = 'growth-20261121-120000' } = options;
  const sample = new Sample(run, options.seed ?? 2);
  const rows: ExperimentRow[] = [
    sample.start('growth', repeats, [
      sample.part('replication', 'The records of one long conversation, from one replica to another.', NAMESPACES),
      sample.part('conversation', 'One long conversation at one node.', NAMESPACES),
    ]),
  ];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const [variant, growing] of [
      ['delta', 0],
      ['whole-context', 300],
      ['whole-context-json', 720],
    ] as const) {
      const facts = { part: 'replication', variant, llm_service: 'transcript', repeat };
      const labels = sample.labels({ ...facts, reply_source: 'transcript' });
      let total = 0;
      for (let turn = 1; turn <= 50; turn++) {
        const wireBytes = Math.round(540 + growing * turn + sample.noise() * 12);
        total += wireBytes;
        rows.push(sample.sync(labels, { turn, wireBytes, arriveMs: 11 + wireBytes / 4_000 + sample.noise() }));
      }
      rows.push(sample.sync(labels, { turn: null, wireBytes: total + 240 }));
    }
    for (const [variant, slower] of [
      ['tokenized', 2],
      ['raw', 9],
      ['client-side', 11],
    ] as const) {
      const labels = sample.labels({ part: 'conversation', variant, repeat });
      for (let turn = 1; turn <= 50; turn++) {
        const requestBytes = variant === 'client-side' ? 520 + turn * 690 : 410;
        rows.push(sample.turn(labels, { turn, responseMs: 2_000 + slower * turn, requestBytes }));
      }
    }
  }
  rows.push(sample.end(repeats));
  return rows;
}

/** Nine turns at two nodes, each reply read before the next: first tokens of a tenth of the response where the context is there. */
export function handoverRows(options: SampleOptions = {}): ExperimentRow[] {
  const { repeats = 3, run = 'paper-20261129-120000' } = options;
  const sample = new Sample(run, options.seed ?? 5);
  const about = 'The client goes from node to node, and reads each reply.';
  const rows: ExperimentRow[] = [sample.start('paper', repeats, [sample.part('handover', about, LOOPBACK)])];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const [variant, movedMs] of [
      ['warmed', 300],
      ['cold', 2_400],
      ['client-side', 2_500],
    ] as const) {
      const labels = sample.labels({ part: 'handover', variant, repeat });
      for (const [index, place] of NODE_OF_TURN.entries()) {
        const turn = index + 1;
        const moved = place !== (NODE_OF_TURN[index - 1] ?? place);
        const firstMs = (moved ? movedMs : 300) * (1 + sample.noise() * 0.03);
        const row = sample.turn(labels, { turn, responseMs: firstMs + 2_700, node: `node-${place}`, moved });
        rows.push({ ...row, first_token_ms: firstMs });
      }
    }
  }
  rows.push(sample.end(repeats));
  return rows;
}

/** One to 64 users: through nodes with either LLM Service, and what clients with their own history get. */
export function loadRows(options: SampleOptions = {}): ExperimentRow[] {
  const { repeats = 3, run = 'load-20261121-120000' } = options;
  const sample = new Sample(run, options.seed ?? 3);
  const about = 'Users at once, each with a session.';
  const rows: ExperimentRow[] = [sample.start('load', repeats, [sample.part('parallel-users', about, LOOPBACK)])];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const [variant, llm_service, times] of [
      ['tokenized', 'embedded', 1],
      ['client-side', 'embedded', 1.01],
      ['tokenized', 'llama-server', 0.9],
      ['llama-server', 'llama-server', 0.86],
    ] as const) {
      for (const users of [1, 2, 4, 8, 16, 32, 64]) {
        const setting = `users-${users}`;
        const labels = sample.labels({ part: 'parallel-users', variant, setting, llm_service, repeat });
        rows.push(sample.turn(labels, { turn: 1, responseMs: 6_000 * times }), sample.load(labels, users, times));
      }
    }
  }
  rows.push(sample.end(repeats));
  return rows;
}

/** The rows of `discedge scenario run` in one mode. */
export function scenarioRows(mode: string, { seed = 4, repeats = 3 }: SampleOptions = {}): RunRow[] {
  const sample = new Sample(`robot-${mode}-20261121-120000`, seed);
  const facts = sample.runFacts('robot', mode);
  const nodes = [{ name: 'node-1', url: 'http://127.0.0.1:8080', node: 'n1', keygroup: 'k1' }];
  const turns = [];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (let turn = 1; turn <= 9; turn++) {
      const requestBytes = mode === 'client-side' ? 520 + turn * 690 : 410;
      const row = sample.turn(sample.labels({ repeat }), { turn, responseMs: 900 + 20 * turn, requestBytes });
      const { labels: _, ...plain } = row;
      turns.push({ ...plain, ...facts, repeat });
    }
  }
  return [
    { ...facts, kind: 'run_start', at: AT, nodes, users: 1, repeats, turns_planned: turns.length },
    ...turns,
    {
      ...facts,
      kind: 'run_end',
      at: AT,
      complete: true,
      reason: 'done',
      turns_answered: turns.length,
      turns_failed: 0,
      wall_ms: 30_000,
    },
  ];
}

/** A folder of the test's own. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'discedge-report-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Writes rows as a run's file, which the test has to itself, and returns its path. */
export function writeRows(rows: readonly object[], name = 'run.ndjson'): string {
  const path = join(testFolder(), name);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

class Sample {
  readonly #run: string;
  #state: number;

  constructor(run: string, seed: number) {
    this.#run = run;
    this.#state = seed;
  }

  /** From -1 to 1. */
  noise(): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (this.#state / 0x7fff_ffff) * 2 - 1;
  }

  labels(some: Partial<PlayLabels>): PlayLabels {
    const part = 'edge-side';
    const usual = { part, variant: 'tokenized', setting: 'ours', llm_service: 'embedded', repeat: 1, order: 1 };
    return { ...usual, reply_source: 'random-weights', ...some };
  }

  part(part: string, about: string, network: NetworkFacts): PartFacts {
    return {
      part,
      about,
      variants: [],
      settings: [],
      nodes: 2,
      turns: 9,
      max_tokens: 128,
      networks: { ours: network },
    };
  }

  start(experiment: ExperimentName, repeats: number, parts: readonly PartFacts[]): ExperimentStart {
    return {
      kind: 'experiment_start',
      experiment_format: EXPERIMENT_FORMAT,
      turn_format: ROW_FORMAT,
      experiment,
      run: this.#run,
      at: AT,
      quick: false,
      version: '0.1.0',
      commit: '1234567',
      machine: MACHINE,
      cores: 2,
      memory_bytes: 2 ** 33,
      model: {
        name: 'qwen1.5-0.5b-shape',
        file: 'qwen1.5-0.5b-shape-q8_0.gguf',
        bytes: 660_000_000,
        quantization: 'Q8_0',
        reply_source: 'random-weights',
      },
      llm_services: [
        { name: 'embedded', version: '3.22.1' },
        { name: 'llama-server', version: '0.7.0' },
      ],
      nats_server: '2.15.1',
      seed: 123,
      temperature: 0,
      repeats,
      parts,
      settings: { 'context-tokens': 4096, parallel: 1, threads: 2 },
      plays_planned: 1,
      estimated_s: 60,
    };
  }

  runFacts(scenario: string, mode: string) {
    return {
      format: ROW_FORMAT,
      run: this.#run,
      scenario,
      mode,
      version: '0.1.0',
      commit: '1234567',
      machine: MACHINE,
      model: 'demo',
      seed: 123,
      temperature: 0,
      max_tokens: 128,
      consistency: 'default',
      max_wait_ms: 'default',
      stream: true,
    } as const;
  }

  turn(
    labels: PlayLabels,
    turn: { turn: number; responseMs: number; requestBytes?: number; node?: string; moved?: boolean },
  ): ExperimentTurn {
    const responseMs = turn.responseMs * (1 + this.noise() * 0.015);
    const predictedMs = responseMs * 0.96;
    return {
      ...this.runFacts(labels.part, labels.variant),
      labels,
      kind: 'turn',
      at: AT,
      user: 1,
      repeat: labels.repeat,
      turn: turn.turn,
      node: turn.node ?? 'node-1',
      node_url: 'http://127.0.0.1:8080',
      node_id: 'n1',
      moved: turn.moved ?? false,
      think_ms: 0,
      session_id: 's',
      context_id: 'c',
      response_ms: responseMs,
      first_token_ms: responseMs - predictedMs,
      request_bytes: turn.requestBytes ?? 410,
      reply_bytes: 9_000,
      request_body_bytes: 200,
      prompt_chars: 80,
      prompt_tokens: turn.turn * 150,
      cached_tokens: (turn.turn - 1) * 150,
      evaluated_tokens: 22,
      reply_tokens: 128,
      prompt_ms: responseMs - predictedMs,
      predicted_ms: predictedMs,
      tokens_per_second: 128_000 / predictedMs,
      retries: 0,
      waited_ms: 0,
      client_retries: 0,
      based_on_turn: turn.turn - 1,
      dropped_turns: 0,
      replayed: false,
      exact_ids: true,
      stop_type: 'limit',
      error: '',
    };
  }

  sync(labels: PlayLabels, sync: { turn: number | null; wireBytes: number | null; arriveMs?: number }): SyncRow {
    return {
      kind: 'sync',
      experiment_format: EXPERIMENT_FORMAT,
      at: AT,
      labels,
      turn: sync.turn,
      nodes: ['node-1', 'node-2'],
      payload_bytes: sync.wireBytes === null ? null : Math.round(sync.wireBytes * 0.6),
      wire_bytes: sync.wireBytes,
      packets: 6,
      measured: 'network-counters',
      window_ms: 500,
      record_bytes: null,
      context_tokens: null,
      append_ms: sync.arriveMs === undefined ? null : 0.6 + this.noise() * 0.1,
      arrive_ms: sync.arriveMs ?? null,
    };
  }

  /** Nine turns, and the session as a whole with the quiet between them. */
  session(labels: PlayLabels, bytes: number): SyncRow[] {
    const turns = Array.from({ length: 9 }, (_, index) => bytes + index * 2 + Math.round(this.noise() * 3));
    const total = turns.reduce((sum, one) => sum + one, 240);
    return [
      ...turns.map((wireBytes, index) => this.sync(labels, { turn: index + 1, wireBytes })),
      this.sync(labels, { turn: null, wireBytes: total }),
    ];
  }

  load(labels: PlayLabels, users: number, times: number): LoadRow {
    const turnsPerS = (Math.min(users, 6) * 0.16 * (1 + this.noise() * 0.03)) / times;
    const p50 = (users / turnsPerS) * 1000 * (1 + this.noise() * 0.02);
    return {
      kind: 'load',
      experiment_format: EXPERIMENT_FORMAT,
      at: AT,
      labels,
      users,
      turns_answered: users * 3,
      turns_failed: 0,
      wall_ms: (users * 3 * 1000) / turnsPerS,
      turns_per_s: turnsPerS,
      reply_tokens_per_s: turnsPerS * 128,
      response_ms: { p50, p95: p50 * 1.3, p99: p50 * 1.5 },
      first_token_ms: { p50: p50 * 0.2, p95: p50 * 0.4, p99: p50 * 0.5 },
      request_bytes: users * 3 * 410,
    };
  }

  end(plays: number): ExperimentEnd {
    return {
      kind: 'experiment_end',
      experiment_format: EXPERIMENT_FORMAT,
      at: AT,
      complete: true,
      reason: 'done',
      plays_planned: plays,
      plays_done: plays,
      wall_ms: 3_600_000,
    };
  }
}

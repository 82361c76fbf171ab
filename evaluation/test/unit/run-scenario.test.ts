/**
 * Plays scenarios at real nodes in this process, through relays that count every byte and can break: tries to get rows
 * that say something else than what happened, a failed or interrupted turn that takes others with it, and bytes that the
 * client's own count missed.
 */
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { DiscedgeClient } from 'discedge/client';
import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import type { Clock } from 'discedge/internal/environment/environment';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';
import { planTurns } from '../../src/conversation/turn-plan.ts';
import { checkNodes, getToKnowAll, type KnownNode } from '../../src/nodes/known-node.ts';
import { ROW_FORMAT, type RunFacts, type RunRow, type TurnRow } from '../../src/scenario/run-row.ts';
import { type RunResult, runScenario } from '../../src/scenario/run-scenario.ts';
import type { Scenario } from '../../src/scenario/scenario.ts';
import { parseScenario } from '../../src/scenario/scenario-file.ts';

const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const ROBOT = 'messages: [My name is Ada., What is my name?, "Now, what is SLAM?"]';

let node: InProcessNode;
let other: InProcessNode;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  node = await startTestNode({ nodeId: 'one' });
  other = await startTestNode({ nodeId: 'two' });
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
afterAll(() => Promise.all([node.close(), other.close()]));

interface Played extends RunResult {
  readonly rows: readonly RunRow[];
}

async function play(
  scenario: Scenario,
  urls: readonly string[],
  options: { mode?: ContextMode; clock?: Clock; signal?: AbortSignal; onTurn?: (row: TurnRow) => void } = {},
): Promise<Played> {
  const rows: RunRow[] = [];
  const nodes = await getToKnowAll(urls, clock, undefined);
  const mode = options.mode ?? 'tokenized';
  const result = await runScenario({
    ...{ scenario, nodes, mode, clock, facts: factsOf(scenario, mode) },
    ...options,
    sink: { append: (row) => rows.push(row) },
  });
  return { ...result, rows };
}

const known = async (url: string): Promise<KnownNode> => (await getToKnowAll([url], clock, undefined))[0] as KnownNode;

function factsOf({ name, seed, temperature }: Scenario, mode: string): RunFacts {
  return {
    ...{
      format: ROW_FORMAT,
      run: 'r',
      scenario: name,
      mode,
      version: '0',
      commit: 'c',
      machine: 'm',
      model: 'scripted',
    },
    ...{ seed, temperature, max_tokens: 128, consistency: 'default', max_wait_ms: 'default', stream: true },
  };
}

interface Relay {
  readonly url: string;
  /** Bytes that went through, towards the node and back. */
  readonly up: () => number;
  readonly down: () => number;
  readonly connections: () => number;
  /** From now on nothing goes through. */
  readonly breakOff: () => void;
}

/** Passes bytes on to a node and counts them. */
async function relayTo(url: string): Promise<Relay> {
  const { port } = new URL(url);
  let [up, down, connections] = [0, 0, 0];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    connections++;
    const onward = connect(Number(port), '127.0.0.1');
    for (const socket of [client, onward]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    client.on('data', (chunk) => {
      up += chunk.length;
    });
    onward.on('data', (chunk) => {
      down += chunk.length;
    });
    client.pipe(onward).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const breakOff = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  closing.push(breakOff);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    up: () => up,
    down: () => down,
    connections: () => connections,
    breakOff,
  };
}

async function serving(listener: RequestListener): Promise<string> {
  const server: Server = createHttpServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('one user at one node', () => {
  it('each turn is a row of its session, between the rows of the run', async () => {
    const { rows, turns, end } = await play(parseScenario(`name: robot\n${ROBOT}`, 'x'), [node.url]);
    expect(rows.map(({ kind }) => kind)).toEqual(['run_start', 'turn', 'turn', 'turn', 'run_end']);
    expect(turns.map(({ turn }) => turn)).toEqual([1, 2, 3]);
    expect(new Set(turns.map(({ session_id: id }) => id)).size).toBe(1);
    expect(new Set(turns.map(({ context_id: id }) => id)).size).toBe(3);
    expect(turns[1]).toMatchObject({
      ...{ node: 'edge-1', node_id: 'one', node_url: node.url, moved: false, user: 1, repeat: 1, based_on_turn: 1 },
      ...{ prompt_chars: 'What is my name?'.length, client_retries: 0, replayed: false, exact_ids: true, error: '' },
    });
    const [first] = turns as [TurnRow];
    expect(first.first_token_ms).toBeGreaterThan(0);
    expect(first.first_token_ms).toBeLessThanOrEqual(first.response_ms);
    expect(first.reply_tokens).toBeGreaterThan(0);
    expect((first.cached_tokens ?? 0) + (first.evaluated_tokens ?? 0)).toBe(first.prompt_tokens);
    expect(end).toMatchObject({ complete: true, reason: 'done', turns_answered: 3, turns_failed: 0 });
    expect(rows[0]).toMatchObject({
      turns_planned: 3,
      nodes: [{ name: 'edge-1', url: node.url, node: 'one', keygroup: expect.stringMatching(/^[0-9a-f]{16}$/) }],
    });
  });

  it.each<[ContextMode, boolean]>([
    ['tokenized', true],
    ['tokenized', false],
    ['raw', true],
    ['client-side', true],
    ['client-side', false],
  ])('%s: its bytes are those that passed through the sockets (stream: %s)', async (mode, stream) => {
    const relay = await relayTo(node.url);
    const scenario = { ...parseScenario(ROBOT, 'x'), stream };
    const seen: (readonly [number, number])[] = [];
    const first = await relayTo(node.url);
    const nodes = [await known(first.url)].map((it) => ({ ...it, url: relay.url }));
    const rows: RunRow[] = [];
    const { turns } = await runScenario({
      ...{ scenario, nodes, mode, clock, facts: factsOf(scenario, mode), sink: { append: (row) => rows.push(row) } },
      onTurn: () => seen.push([relay.up(), relay.down()]),
    });
    const counted = turns.map(({ request_bytes: up, reply_bytes: down }) => [up, down] as const);
    expect(counted.map((_, index) => total(counted.slice(0, index + 1)))).toEqual(seen);
    expect(relay.connections()).toBe(1);
    expect(turns.every(({ first_token_ms: first }) => (first === null) === !stream)).toBe(true);
  });

  it('client-side sends the whole history, in as many tokens as raw makes of it', async () => {
    const scenario = parseScenario(`system: Be brief.\n${ROBOT}`, 'x');
    const raw = (await play(scenario, [node.url], { mode: 'raw' })).turns;
    const own = (await play(scenario, [node.url], { mode: 'client-side' })).turns;
    expect(own.map(({ prompt_tokens: tokens }) => tokens)).toEqual(raw.map(({ prompt_tokens: tokens }) => tokens));
    expect(own.map(({ reply_tokens: tokens }) => tokens)).toEqual(raw.map(({ reply_tokens: tokens }) => tokens));
    const grows = (rows: readonly TurnRow[]) => (rows[2] as TurnRow).request_bytes - (rows[0] as TurnRow).request_bytes;
    expect(grows(own)).toBeGreaterThan(100);
    expect(grows(raw)).toBeLessThan(100);
    expect(own.every(({ session_id: id }) => id === '')).toBe(true);
  });
});

describe('many users', () => {
  it('have sessions of their own in every repeat, and think as the seed has it', async () => {
    const scenario = parseScenario(`users: 3\nrepeats: 2\nthink_ms: [2000, 9000]\n${ROBOT}`, 'x');
    const waits: number[] = [];
    const impatient: Clock = {
      ...clock,
      after(delayMs, callback) {
        if (delayMs < 2000) return clock.after(delayMs, callback);
        waits.push(delayMs);
        return clock.after(0, callback);
      },
    };
    const { turns, end } = await play(scenario, [node.url], { clock: impatient });
    expect(end).toMatchObject({ complete: true, turns_answered: 18 });
    expect(new Set(turns.map(({ session_id: id }) => id)).size).toBe(6);
    const thought = turns.filter(({ turn }) => turn > 1).map(({ think_ms: ms }) => ms);
    expect(waits.toSorted()).toEqual(thought.toSorted());
    expect(new Set(thought).size).toBeGreaterThan(6);
    const again = (await play(scenario, [node.url], { clock: impatient })).turns;
    const plan = (rows: readonly TurnRow[]) =>
      rows.map(({ user, repeat, turn, think_ms: ms }) => `${user}/${repeat}/${turn}: ${ms}`).sort();
    expect(plan(again)).toEqual(plan(turns));
  });

  it('are users of their own, who say their own numbers where the scenario leaves room', async () => {
    const scenario = parseScenario('user_id: guest\nusers: 2\nrepeats: 2\nmessages: ["{user} of {repeat}"]', 'x');
    const { turns } = await play(scenario, [node.url], { mode: 'raw' });
    expect(turns).toHaveLength(4);
    for (const user of [1, 2]) {
      const { sessions } = new DiscedgeClient({ nodes: node.url, userId: `guest-${user}` });
      const own = (await sessions.list()).sessions.map(({ sessionId }) => sessions.show(sessionId));
      const said = (await Promise.all(own)).flatMap(({ turns }) => turns.map(({ user }) => user));
      expect(said.toSorted()).toEqual([`${user} of 1`, `${user} of 2`]);
    }
    const plain = { ...scenario, numbered: false };
    expect(planTurns(plain, { user: 1, repeat: 1 })[0]?.message).toBe('{user} of {repeat}');
  });

  it('are spread over the nodes, or go round them, as the route says', async () => {
    const at = async (route: string) => {
      const scenario = parseScenario(`users: 2\nnodes: [a, b]\n${route}${ROBOT}`, 'x');
      const { turns } = await play(scenario, [node.url, other.url], { mode: 'client-side' });
      return [1, 2].map((user) =>
        turns
          .filter((row) => row.user === user)
          .map((row) => `${row.moved ? '→' : ''}${row.node}${row.node_id}`)
          .join(' '),
      );
    };
    expect(await at('')).toEqual(['aone aone aone', 'btwo btwo btwo']);
    expect(await at('route: round-robin\n')).toEqual(['aone →btwo →aone', 'btwo →aone →btwo']);
    expect(await at('route: [a, a, b]\n')).toEqual(['aone aone →btwo', 'aone aone →btwo']);
  });
});

describe('what goes wrong', () => {
  it('a session that its next node does not know ends there; others go on', async () => {
    const scenario = parseScenario(`users: 2\nnodes: [a, b]\nroute: [a, b]\n${ROBOT}`, 'x');
    const { turns, end } = await play(scenario, [node.url, other.url]);
    expect(turns.map(({ turn, error }) => `${turn} ${error}`).sort()).toEqual([
      ...['1 ', '1 '],
      ...['2 session_not_found', '2 session_not_found'],
    ]);
    expect(end).toMatchObject({ complete: false, reason: 'turns_failed', turns_answered: 2, turns_failed: 2 });
    const failed = turns.find(({ error }) => error !== '') as TurnRow;
    expect(failed).toMatchObject({ moved: true, reply_tokens: null, prompt_tokens: null, context_id: '' });
    expect(failed.reply_bytes).toBeGreaterThan(0);
  });

  it('a node that is gone is told in the row', async () => {
    const relay = await relayTo(node.url);
    const scenario = parseScenario(`client_retries: 0\n${ROBOT}`, 'x');
    const { turns, end } = await play(scenario, [relay.url], { onTurn: () => relay.breakOff() });
    expect(turns.map(({ error }) => error)).toEqual(['', 'node_unreachable']);
    expect(end.complete).toBe(false);
  });

  it('a turn that is sent again counts its attempts, and the bytes of all of them', async () => {
    let refused = 0;
    const url = await serving(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      if (request.url === '/completion' && refused++ < 2) {
        response.writeHead(503, { 'x-should-retry': 'true', 'retry-after-ms': '1' });
        response.end(JSON.stringify({ error: { code: 503, message: 'not yet', type: 'context_stale' } }));
        return;
      }
      const headers = { 'content-type': 'application/json' };
      const init = request.method === 'GET' ? {} : { body: Buffer.concat(chunks), headers };
      const answer = await fetch(`${node.url}${request.url}`, { method: request.method as string, ...init });
      response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
    });
    for (const mode of ['tokenized', 'client-side'] as const) {
      refused = 0;
      const { turns } = await play(parseScenario('messages: [hello, hello]', 'x'), [url], { mode });
      const [first, second] = turns as [TurnRow, TurnRow];
      expect(turns.map(({ client_retries: retries, error }) => [retries, error])).toEqual([
        [2, ''],
        [0, ''],
      ]);
      expect(first.request_bytes).toBeGreaterThan(2 * second.request_bytes - 200);
      expect(first.request_bytes).toBeGreaterThan(2.5 * 200);
    }
  });

  it('an interrupted run keeps its rows, and says that it is incomplete', async () => {
    const stop = new AbortController();
    const scenario = parseScenario(`repeats: 3\nthink_ms: 3600000\n${ROBOT}`, 'x');
    const { rows, turns, end } = await play(scenario, [node.url], {
      signal: stop.signal,
      onTurn: () => stop.abort(new Error('stopped')),
    });
    expect(turns).toHaveLength(1);
    expect(rows.map(({ kind }) => kind)).toEqual(['run_start', 'turn', 'run_end']);
    expect(end).toMatchObject({ complete: false, reason: 'interrupted', turns_answered: 1, turns_failed: 0 });
  });

  it('a turn that was under way when the run was interrupted is no row', async () => {
    const stop = new AbortController();
    const url = await serving((request, response) => {
      if (request.url !== '/completion') {
        fetch(`${node.url}${request.url}`).then(async (answer) => response.end(await answer.text()));
        return;
      }
      stop.abort(new Error('stopped'));
    });
    for (const mode of ['tokenized', 'client-side'] as const) {
      const { rows } = await play(parseScenario(ROBOT, 'x'), [url], { mode, signal: stop.signal });
      expect(rows.map(({ kind }) => kind)).toEqual(['run_start', 'run_end']);
    }
  });
});

describe('nodes that do not fit', () => {
  const refusal = async (run: () => unknown): Promise<[string, string]> => {
    try {
      await run();
    } catch (error) {
      return [(error as { code: string }).code, (error as Error).message];
    }
    throw new Error('they were accepted');
  };

  it('nobody listens', async () => {
    expect(await refusal(() => known('http://127.0.0.1:1'))).toEqual([
      'node_unreachable',
      'http://127.0.0.1:1 cannot be reached',
    ]);
  });

  it('something else listens', async () => {
    const page = await serving((_, response) => response.writeHead(200).end('<html>'));
    expect(await refusal(() => known(page))).toEqual([
      'scenario_nodes_unfit',
      expect.stringContaining(`${page} is not an edge node: `),
    ]);
    const llama = await serving((_, response) => response.writeHead(200).end('{"model_alias": "m", "total_slots": 1}'));
    expect((await refusal(() => known(llama)))[1]).toBe(
      `${llama} is not an edge node: its /props lacks node, keygroup and modes`,
    );
    const missing = await serving((_, response) => response.writeHead(404).end('{}'));
    expect((await refusal(() => known(missing)))[0]).toBe('scenario_nodes_unfit');
  });

  it('one that listens and says nothing does not hold up who has changed their mind', async () => {
    const silent = createServer();
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    closing.push(() => silent.close());
    const stop = new AbortController();
    const { port } = silent.address() as AddressInfo;
    silent.once('connection', (socket) => {
      closing.push(() => socket.destroy());
      stop.abort(new Error('changed their mind'));
    });
    await expect(getToKnowAll([`http://127.0.0.1:${port}`], clock, stop.signal)).rejects.toThrow('changed their mind');
  });

  it('another model than the scenario names, or no such mode, each said', async () => {
    const one = await known(node.url);
    const check = (modelName: string | undefined, mode: ContextMode = 'raw', nodes = [one]) =>
      refusal(() => checkNodes(nodes, { mode, modelName, roaming: true }));
    expect(await check('qwen')).toEqual([
      'scenario_nodes_unfit',
      `node one (${node.url}) serves scripted, the scenario names qwen: use a node with that model, or --any-model`,
    ]);
    const plain = { ...one, modes: ['raw', 'client-side'], keygroup: '0'.repeat(16) };
    const [, message] = await check('qwen', 'tokenized', [one, plain]);
    expect(message.split('\n')).toHaveLength(4);
    expect(message).toContain('does not offer mode tokenized with its model, only raw, client-side');
    expect(message).toContain('a session cannot go from one to the other');
  });

  it('the same model by another spelling of its name is none', async () => {
    const one = { ...(await known(node.url)), model: 'qwen1.5-0.5b-chat' };
    for (const modelName of ['Qwen1.5-0.5B-Chat', '/models/qwen1_5-0_5b-chat-q8_0.gguf', undefined]) {
      checkNodes([one, { ...one, keygroup: 'f' }], { mode: 'client-side', modelName, roaming: true });
    }
  });
});

function total(pairs: readonly (readonly [number, number])[]): readonly [number, number] {
  return pairs.reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0] as const);
}

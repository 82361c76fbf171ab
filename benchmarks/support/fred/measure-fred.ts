import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { FredClient } from '../../../src/context-store/fred/wire/fred-client.ts';
import type { FredTls } from '../../../src/context-store/fred/wire/fred-tls.ts';
import { type TriggeredItem, TriggerService } from '../../../src/context-store/fred/wire/trigger-service.ts';
import { nodeEnvironment } from '../../../src/environment/node-environment.ts';
import { PROTOTYPE_BYTES } from '../replication-bytes.ts';
import { quantile, rounded } from '../statistics.ts';
import { table } from '../table.ts';
import type { Mode, WrittenSessions } from '../written-session.ts';
import { type FredValue, FredValues, type Way } from './fred-values.ts';
import { tcpTraffic } from './tcp-traffic.ts';

export interface MeasuredFred {
  /** What the rows say of the nodes. */
  readonly nodes: 'double' | 'real';
  /** Client ports of two nodes: records are written at the first and arrive at the second. */
  readonly hosts: readonly [string, string];
  /** Peer ports of both on this machine, where bytes are counted; none: not counted. */
  readonly peerPorts: readonly number[];
  readonly tls: FredTls;
}

export interface FredScale {
  readonly paceMs: number;
  readonly delaySamples: number;
  readonly delayPaceMs: number;
  readonly records: number;
}

const WAYS: readonly Way[] = ['whole-context-json', 'record-a-turn'];
const MODES: readonly Mode[] = ['tokenized', 'raw'];
const UPDATES_AT_ONCE = 16;
const PAGE = 1_000;
const EXPIRY_SECONDS = 3_600;
/** The last acknowledgement has come by then. */
const SETTLE_MS = 200;

/**
 * The paper's own store, in the paper's way and in ours: what passes between two FReD nodes for nine turns, how long until the
 * second node's trigger tells, and how long a scan takes for what it did not tell. Prints, and returns the rows.
 */
export async function measureFred(
  { nodes, hosts, peerPorts, tls }: MeasuredFred,
  { sessions, scale }: { sessions: WrittenSessions; scale: FredScale },
): Promise<object[]> {
  const pair = await FredPair.join(hosts, tls);
  try {
    const values = new FredValues(sessions, randomBytes(4).toString('hex'));
    // The nodes connect to each other with the first item that one passes on.
    await pair.writeAndSee(values.anchor());
    const shared = { nodes, counted: 'tcp-segments', mtuBytes: loopbackMtu() };
    console.log(
      `\nFReD (${nodes === 'real' ? 'real nodes' : "the tests' double"}), nine turns, bytes between two nodes`,
    );
    const bytes = [];
    for (const mode of MODES) {
      for (const way of WAYS) {
        const measured = await measureBytes(pair, values.session(way, mode), { peerPorts, paceMs: scale.paceMs });
        bytes.push({ ...shared, way, mode, ...measured, ...toPrototype(mode, measured.wireBytes) });
      }
    }
    console.log(
      table(bytes, ['nodes', 'way', 'mode', 'sentBytes', 'wireBytes', 'packets', 'prototype', 'toPrototype']),
    );
    const delays = [];
    for (const way of WAYS) delays.push({ nodes, way, ...(await measureDelay(pair, values, { way, scale })) });
    console.log('\nFrom the call of Update until the trigger at the other node tells');
    console.log(table(delays, ['nodes', 'way', 'turns', 'p50Ms', 'p99Ms']));
    const caught = { nodes, way: 'record-a-turn', ...(await measureCatchUp(pair, values, scale.records)) };
    console.log(
      `\n${caught.records} records that no trigger told of: found in ${caught.catchUpMs} ms by a scan at the other node; the paper's way does not look for them`,
    );
    return [
      ...bytes.map((row) => ({ part: 'fred-bytes', paceMs: scale.paceMs, ...row })),
      ...delays.map((row) => ({ part: 'fred-delay', ...row })),
      { part: 'fred-catch-up', ...caught },
    ];
  } finally {
    await pair.close();
  }
}

/** Two FReD nodes with a keygroup of their own, and a trigger at the second. */
class FredPair {
  readonly #keygroup = `bench${randomBytes(6).toString('hex')}`;
  readonly #near: FredClient;
  readonly #far: FredClient;
  readonly #triggers: TriggerService;
  readonly #told = new Map<string, () => void>();

  private constructor(near: FredClient, far: FredClient, triggers: TriggerService, listen: (tell: Listener) => void) {
    this.#near = near;
    this.#far = far;
    this.#triggers = triggers;
    listen(({ id, value }) => this.#told.get(id + value)?.());
  }

  static async join([nearHost, farHost]: readonly [string, string], tls: FredTls): Promise<FredPair> {
    const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'bench' });
    const [near, far] = [nearHost, farHost].map((host) => new FredClient({ host, tls, clock })) as [
      FredClient,
      FredClient,
    ];
    let tell: Listener = () => {};
    const triggers = await TriggerService.start({ listen: '127.0.0.1:0', tls, onItem: (item) => tell(item) });
    const pair = new FredPair(near, far, triggers, (listener) => {
      tell = listener;
    });
    const nodeId = (await far.nodes()).find(({ host }) => host === farHost)?.nodeId;
    if (nodeId === undefined) throw new Error(`no FReD node says of itself that it is at ${farHost}`);
    const joining = { keygroup: pair.#keygroup, expirySeconds: EXPIRY_SECONDS };
    await near.createKeygroup(joining);
    await far.addReplica({ ...joining, nodeId });
    await far.addTrigger({ keygroup: pair.#keygroup, triggerId: 'bench', host: `127.0.0.1:${triggers.port}` });
    return pair;
  }

  async write({ id, value }: FredValue): Promise<void> {
    await this.#near.update({ keygroup: this.#keygroup, id, value });
  }

  /** Milliseconds until the other node's trigger has told of it. */
  async writeAndSee(item: FredValue): Promise<number> {
    const key = item.id + item.value;
    const seen = new Promise<number>((resolve) => this.#told.set(key, () => resolve(performance.now())));
    const startMs = performance.now();
    await this.write(item);
    const seenMs = await seen;
    this.#told.delete(key);
    return seenMs - startMs;
  }

  /** How many records of the log there are after this one, found page by page as another node finds them. */
  async scanAfter(id: string, log: string): Promise<number> {
    let [found, last] = [0, id];
    for (;;) {
      const page = await this.#near.scan({ keygroup: this.#keygroup, id: last, count: PAGE + 1 });
      const records = page.slice(1).filter((item) => item.id.startsWith(log));
      found += records.length;
      last = records.at(-1)?.id ?? last;
      if (records.length < PAGE) return found;
    }
  }

  async close(): Promise<void> {
    await this.#far.removeTrigger({ keygroup: this.#keygroup, triggerId: 'bench' }).catch(() => {});
    this.#near.close();
    this.#far.close();
    await this.#triggers.close();
  }
}

type Listener = (item: TriggeredItem) => void;

async function measureBytes(
  pair: FredPair,
  session: readonly FredValue[],
  { peerPorts, paceMs }: { peerPorts: readonly number[]; paceMs: number },
) {
  const count = () => (peerPorts.length === 0 ? undefined : tcpTraffic(peerPorts));
  const wireBytesByTurn: number[] = [];
  const first = count();
  let before = first;
  for (const item of session) {
    await pair.writeAndSee(item);
    await pause(Math.max(paceMs, SETTLE_MS));
    const after = count();
    if (before !== undefined && after !== undefined) wireBytesByTurn.push(after.bytes - before.bytes);
    before = after;
  }
  return {
    turns: session.length,
    sentBytes: session.reduce((total, { value }) => total + Buffer.byteLength(value), 0),
    ...(first !== undefined &&
      before !== undefined && {
        wireBytes: before.bytes - first.bytes,
        packets: before.packets - first.packets,
        wireBytesByTurn,
      }),
  };
}

async function measureDelay(pair: FredPair, values: FredValues, { way, scale }: { way: Way; scale: FredScale }) {
  const delays: number[] = [];
  while (delays.length < scale.delaySamples) {
    for (const item of values.session(way, 'tokenized')) {
      delays.push(await pair.writeAndSee(item));
      await pause(scale.delayPaceMs);
    }
  }
  return {
    turns: delays.length,
    p50Ms: rounded(quantile(delays, 0.5)),
    p99Ms: rounded(quantile(delays, 0.99)),
  };
}

async function measureCatchUp(pair: FredPair, values: FredValues, records: number) {
  const [first, ...items] = manyRecords(values, records + 1) as [FredValue, ...FredValue[]];
  await pair.write(first);
  let next = 0;
  const work = async () => {
    while (next < items.length) await pair.write(items[next++] as FredValue);
  };
  await Promise.all(Array.from({ length: UPDATES_AT_ONCE }, work));
  const startMs = performance.now();
  const found = await pair.scanAfter(first.id, values.log);
  if (found !== records) throw new Error(`${records} records were written and ${found} found`);
  return { records, catchUpMs: Math.round(performance.now() - startMs) };
}

function manyRecords(values: FredValues, count: number): FredValue[] {
  const items: FredValue[] = [];
  while (items.length < count) items.push(...values.session('record-a-turn', 'tokenized'));
  return items.slice(0, count);
}

function toPrototype(mode: Mode, wireBytes: number | undefined) {
  const prototype = PROTOTYPE_BYTES[mode];
  return { prototype, ...(wireBytes !== undefined && { toPrototype: rounded(wireBytes / prototype) }) };
}

function loopbackMtu(): number {
  return Number(/\bmtu (\d+)/.exec(execFileSync('ip', ['link', 'show', 'lo'], { encoding: 'utf8' }))?.[1]);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

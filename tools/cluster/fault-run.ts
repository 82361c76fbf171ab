import { join } from 'node:path';
import { Chance } from '../chance.ts';
import { allMarksOf, becameEqual, caughtUp, marksOf, userOf } from './catch-up.ts';
import { checkReplicas } from './check-replicas.ts';
import { checkReplies } from './check-replies.ts';
import { FaultCluster } from './cluster.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { Fault, FaultContext } from './faults.ts';
import type { Violation } from './history.ts';
import { Observations } from './observations.ts';
import { readReplica } from './read-replica.ts';
import { acknowledgedWire, RoamingClient, textOf } from './roaming-client.ts';

export interface FaultRunOptions {
  readonly folder: string;
  readonly seed: number;
  readonly natsProgram: string;
  readonly whyNoNamespaces: string | undefined;
  readonly clients: number;
  readonly print: (line: string) => void;
}

const NODES = 3;
/** A drained node has nothing left to tell within milliseconds; a loaded machine takes longer. */
const DRAIN_WAIT_MS = 20_000;
const LOOK_EVERY_MS = 10;

/** What came of faults that happened at once. */
export interface FaultOutcome {
  readonly where: string;
  readonly tookMs: number;
  readonly catchUpMs: number;
  readonly acknowledged: number;
  readonly violations: readonly Violation[];
}

/** A cluster under load, to which faults can be done one after the other, and which is checked after each and at the end. */
export class FaultRun {
  readonly cluster: FaultCluster;
  readonly observations = new Observations();
  readonly #options: FaultRunOptions;
  readonly #chance: Chance;
  readonly #barred = new Set<string>();
  readonly #clients: readonly RoamingClient[];
  #running: Promise<unknown> = Promise.resolve();
  readonly #known = new Set<string>();
  #drains = 0;

  private constructor(options: FaultRunOptions, cluster: FaultCluster) {
    this.#options = options;
    this.cluster = cluster;
    this.#chance = new Chance(options.seed);
    this.#clients = Array.from(
      { length: options.clients },
      (_, i) =>
        new RoamingClient({
          name: `c${i + 1}`,
          nodeUrls: cluster.nodes.map(({ url }) => url),
          chance: new Chance(options.seed * 1_000 + i),
          observations: this.observations,
          barred: this.#barred,
          losesAnswers: true,
        }),
    );
  }

  static async start(options: FaultRunOptions): Promise<FaultRun> {
    const cluster = await FaultCluster.make({ ...options, nodes: NODES });
    await cluster.start();
    const run = new FaultRun(options, cluster);
    run.#running = Promise.all(run.#clients.map((client) => client.run()));
    return run;
  }

  /** Why a fault cannot be done here. */
  whyNot({ needs }: Fault): string | undefined {
    return needs && this.cluster.abilities[needs];
  }

  /**
   * Does these under load, all at once and each to another node, and waits until every node has all that was acknowledged
   * until they were mended.
   */
  async inflict(faults: readonly Fault[], holdMs: number): Promise<FaultOutcome> {
    const { observations, cluster } = this;
    const from = observations.history.length;
    const acknowledgedBefore = observations.acknowledged;
    const beganMs = performance.now();
    const notes: string[] = [];
    const violations: Violation[] = [];
    const first = this.#chance.below(NODES);
    const contexts = faults.map((_, i) => ({
      cluster,
      chance: this.#chance,
      node: cluster.nodes[(first + i) % NODES] as ClusterNode,
      holdMs,
      observations,
      settled: async () => {
        const { tookMs, violations } = await caughtUp(cluster.nodes, () => allMarksOf(observations.history));
        notes.push(`all on all nodes after ${tookMs} ms`);
        if (violations[0] !== undefined) throw new Error(violations[0].what);
      },
      drain: (node: ClusterNode) => this.#drain(node),
      guestSession: () => this.#guestSession(),
      note: (what: string) => void notes.push(what),
    }));
    const ended = await Promise.allSettled(faults.map(async (fault, i) => fault.run(contexts[i] as FaultContext)));
    const failures = ended.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []));
    violations.push(...failures.map(({ message }): Violation => ({ rule: 'defect', what: message })));
    if (failures.length > 0) await this.#restore();
    const tookMs = Math.round(performance.now() - beganMs);
    const { tookMs: catchUpMs, violations: missing } = await caughtUp(cluster.nodes, () =>
      marksOf(observations.history.slice(from)),
    );
    violations.push(...missing, ...checkReplies(observations.history), ...observations.defects);
    const acknowledged = observations.acknowledged - acknowledgedBefore;
    const where = notes.join(', ');
    return { where, tookMs, catchUpMs, acknowledged, violations: this.#unknown(violations) };
  }

  /** Ends the load, waits until all nodes are alike, stops them, and compares their disks. */
  async finish(): Promise<{
    /** How long it took until all nodes showed the same, once nobody wrote any more. */
    readonly equalMs: number;
    /** Acknowledged turns that were on one disk only, and are gone with it. */
    readonly goneWithDisks: number;
    readonly violations: readonly Violation[];
  }> {
    const { observations, cluster } = this;
    for (const client of this.#clients) client.stop();
    await this.#running;
    const sessions = new Set(observations.history.flatMap((event) => (event.kind === 'wipe' ? [] : [event.session])));
    const beganMs = performance.now();
    const violations = [...(await becameEqual(cluster.nodes, sessions))];
    const equalMs = Math.round(performance.now() - beganMs);
    const keygroup = await cluster.keygroup();
    await Promise.all(cluster.nodes.map((node) => node.stop()));
    const replicas = new Map<string, Awaited<ReturnType<typeof readReplica>>>();
    for (const node of cluster.nodes) replicas.set(node.id, await readReplica(node, { sessions, keygroup }));
    violations.push(...checkReplies(observations.history), ...checkReplicas(observations.history, replicas));
    const held = new Set(
      [...replicas.values()]
        .flatMap((replica) => [...replica.values()])
        .flatMap(({ records }) => records.map(({ hash }) => hash)),
    );
    const deleted = new Set(
      observations.history.flatMap((event) => (event.kind === 'deletion' ? [event.session] : [])),
    );
    const gone = observations.history.filter(
      (event) =>
        event.kind === 'turn' &&
        event.reply !== undefined &&
        !held.has(event.reply.contextId) &&
        !deleted.has(event.session),
    );
    return { equalMs, goneWithDisks: gone.length, violations: this.#unknown([...violations, ...observations.defects]) };
  }

  async end(): Promise<void> {
    for (const client of this.#clients) client.stop();
    await this.cluster.end();
  }

  logFolder(): string {
    return join(this.#options.folder, 'logs');
  }

  /** Those that have not been told of before. */
  #unknown(violations: readonly Violation[]): Violation[] {
    return violations.filter(({ rule, what }) => {
      const text = `${rule}: ${what}`;
      return !this.#known.has(text) && this.#known.add(text);
    });
  }

  #guestSession() {
    const session = 'guest-1';
    this.observations.operation({
      kind: 'turn',
      session,
      nonce: `${session}.1`,
      consistency: 'strong',
      outcome: 'unknown',
      isTwinned: false,
    });
    return { sessionId: session, userId: userOf(session) };
  }

  async #restore(): Promise<void> {
    await this.cluster.network?.heal();
    for (const node of this.cluster.nodes) {
      await node.restore();
      if (!node.isRunning) await node.start();
    }
  }

  /**
   * Clients can no longer reach the node, what they had asked of it is answered, and a turn with write concern
   * `replicated` says that a peer has everything that the node has written until then.
   */
  async #drain(node: ClusterNode): Promise<{ undo(): void }> {
    this.#barred.add(node.url);
    const undo = () => void this.#barred.delete(node.url);
    try {
      await this.#untilDrained(node);
    } catch (error) {
      undo();
      throw error;
    }
    return { undo };
  }

  async #untilDrained(node: ClusterNode): Promise<void> {
    const endMs = performance.now() + DRAIN_WAIT_MS;
    while (this.observations.underWay(node.url) > 0) {
      if (performance.now() > endMs) throw new Error(`${node.id} does not answer all that it was asked`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    const session = `drain-${++this.#drains}`;
    const nonce = `${session}.1`;
    const reply = await node.turn({
      prompt: textOf(nonce),
      session_id: session,
      user_id: userOf(session),
      write_concern: 'replicated',
      replicated_wait_ms: DRAIN_WAIT_MS,
    });
    const common = { kind: 'turn', session, nonce, consistency: 'strong', isTwinned: false } as const;
    this.observations.operation({ ...common, outcome: 'acknowledged', reply: acknowledgedWire(reply) });
    if (reply.write_concern !== 'replicated') throw new Error(`${node.id} does not get rid of its records`);
  }
}

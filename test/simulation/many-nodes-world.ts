import type { TurnReply } from '../../src/context-manager/turn/turn.ts';
import { DiscedgeError } from '../../src/domain/errors.ts';
import type { ContextId } from '../../src/domain/identifiers.ts';
import { type ChatTemplate, compileChatTemplate } from '../../src/llm-service/chat-template.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';
import { Chance, yielded } from '../../tools/chance.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../tools/virtual-environment.ts';
import { requestOf } from '../support/context-manager-rig.ts';
import { type Parcel, SimulatedNetwork } from './simulated-network.ts';
import { type SimulatedNode as Node, startSimulatedNode } from './simulated-node.ts';

/**
 * Runs one history; throws when a promise is broken. Returns how often what happened. In one without faults no link is cut
 * and no disk lost, and then no turn has a second effect.
 */
export async function simulateNodes(
  seed: number,
  steps: number,
  { hasFaults = true } = {},
): Promise<ReadonlyMap<string, number>> {
  const world = await World.create(seed, hasFaults);
  for (let step = 0; step < steps; step++) await world.act();
  await world.heal();
  return world.events;
}

/** One conversation as its client knows it. */
interface Client {
  readonly session: string;
  /** The messages of its branch that are answered, oldest first. */
  said: readonly string[];
  contextId: ContextId | undefined;
  /** Sent, and no answer heard; sent again until there is one. */
  pending: string | undefined;
  /** The request that it waits for. */
  underWay: AbortController | undefined;
  /** It or its session is no more. */
  over: boolean;
}

const NODES = ['a', 'b', 'c'];
const CLIENTS = 4;
const USER = 'ada';
const WAIT_MS = 40;
/** More rounds than anything that may still be under way takes. */
const IDLE_ROUNDS_MAX = 400;
/** Before each part of a reply. */
const PART_MS = 3;

class World {
  readonly events = new Map<string, number>();
  readonly #hasFaults: boolean;
  readonly #chance: Chance;
  readonly #environment: VirtualEnvironment;
  readonly #llm: LlmService;
  readonly #template: ChatTemplate;
  readonly #nodes: Node[] = [];
  readonly #network: SimulatedNetwork;
  readonly #clients: Client[] = [];
  #deleted: readonly string[] = [];
  /** Told to a client; to be found on every node in the end. */
  readonly #acknowledged = new Map<ContextId, { session: string; replicated: boolean }>();
  readonly #broken: unknown[] = [];
  #sessions = 0;
  #messages = 0;
  #wiped = false;
  #healed = false;
  /** How often the LLM was asked to answer each message. */
  readonly #generated: Map<string, number>;
  /** Messages that were sent under `available` at least once, which promises less. */
  readonly #available = new Set<string>();

  static async create(seed: number, hasFaults: boolean): Promise<World> {
    const environment = virtualEnvironment({ seed });
    const generated = new Map<string, number>();
    // The reply is what the model read: every message of the user.
    const reply = (prompt: string) => {
      const read = messagesIn(prompt);
      const last = read.at(-1) as string;
      generated.set(last, (generated.get(last) ?? 0) + 1);
      return read.join('|');
    };
    const llm = startScripted({ reply, delayMs: PART_MS }, environment);
    const template = await compileChatTemplate(llm.description, (text, how) => llm.tokenize(text, how));
    return new World({ chance: new Chance(seed), environment, llm, template, generated, hasFaults });
  }

  private constructor(parts: {
    chance: Chance;
    environment: VirtualEnvironment;
    llm: LlmService;
    template: ChatTemplate;
    generated: Map<string, number>;
    hasFaults: boolean;
  }) {
    const { chance, environment, llm, template, generated, hasFaults } = parts;
    this.#hasFaults = hasFaults;
    this.#generated = generated;
    this.#chance = chance;
    this.#environment = environment;
    this.#llm = llm;
    this.#template = template;
    this.#network = new SimulatedNetwork(NODES, chance);
    for (const name of NODES) this.#nodes.push(this.#startNode(name, '00000001'));
    while (this.#clients.length < CLIENTS) this.#clients.push(this.#newClient());
  }

  async act(): Promise<void> {
    const client = this.#chance.of(this.#clients);
    const act = this.#chance.weighted<() => unknown>([
      [30, () => this.#send(client)],
      [40, () => this.#carry()],
      [20, () => this.#environment.advance(this.#chance.below(30))],
      [12, () => this.#giveUp(client)],
      [this.#hasFaults ? 4 : 0, () => this.#toggleLink()],
      [3, () => this.#fork(client)],
      [1, () => this.#delete(client)],
      [this.#hasFaults ? 1 : 0, () => this.#wipe()],
    ]);
    await act();
    await yielded(this.#chance.below(8));
    if (this.#broken.length > 0) throw this.#broken[0];
  }

  /** Links come back, records arrive; all nodes must hold the same, and every client goes on wherever it likes. */
  async heal(): Promise<void> {
    this.#healed = true;
    this.#network.heal();
    await this.#idle();
    if (!this.#hasFaults) this.#checkEffects();
    for (const [hash, { session }] of this.#acknowledged) {
      if (this.#deleted.includes(session)) continue;
      for (const node of this.#nodes)
        check(node.replica.held.has(hash), 'an acknowledged turn is lost', { hash, node: node.name });
    }
    const sessions = new Set([...this.#acknowledged.values()].map(({ session }) => session));
    for (const session of sessions) {
      const tips = await Promise.all(this.#nodes.map((node) => this.#tipsAt(node, session)));
      check(new Set(tips).size === 1, 'nodes disagree about a session', { session, tips });
      check((tips[0] === 'session_deleted') === this.#deleted.includes(session), 'deletion is not final', { session });
      if (tips[0]?.includes(',')) this.#count('branched');
    }
    for (const client of this.#clients) {
      const before = client.said.length;
      this.#send(client, 'strong');
      await this.#idle();
      check(client.said.length === before + 1, 'a session took no turn after everything had healed', client);
    }
  }

  #checkEffects(): void {
    for (const [message, times] of this.#generated) {
      if (this.#available.has(message)) continue;
      check(times === 1, 'a message was answered more than once', { message, times });
      this.#count('one effect');
    }
  }

  /** The client no longer waits; it sends the same again, perhaps elsewhere, while the first request may still run. */
  #giveUp(client: Client): void {
    if (client.underWay === undefined) return;
    client.underWay.abort();
    client.underWay = undefined;
    this.#count('given up');
    if (this.#chance.oneIn(2)) this.#send(client);
  }

  #send(client: Client, consistency = this.#chance.oneIn(6) ? ('available' as const) : ('strong' as const)): void {
    if (client.underWay !== undefined) return;
    client.pending ??= `m${++this.#messages}`;
    const [text, node, asked] = [client.pending, this.#chance.of(this.#nodes), this.#chance.of(CONCERNS)];
    const { session, contextId, said } = client;
    const request = requestOf({
      ...{ user: USER, session, text, consistency, turn: said.length + 1, contextId },
      ...{ writeConcern: asked, maxWaitMs: WAIT_MS, replicatedWaitMs: WAIT_MS },
    });
    const waiting = new AbortController();
    client.underWay = waiting;
    if (consistency === 'available') this.#available.add(text);
    const ifHeard = (hear: () => void) => {
      if (client.underWay === waiting) hear();
    };
    node.manager
      .takeTurn(request, { part: () => {}, gone: waiting.signal })
      .then((reply) => ifHeard(() => this.#onReply(client, node, reply, { text, consistency })))
      .catch((error) => ifHeard(() => this.#onError(client, node, error)))
      .catch((broken) => this.#broken.push(broken))
      .finally(() =>
        ifHeard(() => {
          client.underWay = undefined;
        }),
      );
  }

  #onReply(client: Client, node: Node, reply: TurnReply, sent: { text: string; consistency: string }): void {
    if (node.dead || client.over) return;
    if (!this.#healed && this.#chance.oneIn(8)) {
      this.#count('answer lost');
      return;
    }
    const isSure = this.#hasFaults || sent.consistency === 'available' || reply.arbitrated !== false;
    check(isSure, 'a turn was not arbitrated though all nodes were there', { reply });
    if (reply.arbitrated === false) this.#count('not arbitrated');
    const read = reply.text.split('|');
    const expected = [...client.said, sent.text];
    if (sent.consistency === 'strong') {
      check(read.join() === expected.join(), 'a strong answer is not from all that was said', { read, expected });
      check(reply.basedOnTurn === client.said.length, 'a strong answer is labelled stale', client);
    }
    check(read.at(-1) === sent.text && read.length === (reply.basedOnTurn ?? 0) + 1, 'a label is wrong', { read });
    if (read.length < expected.length) this.#count('stale');
    const replicated = reply.writeConcern === 'replicated';
    check(replicated === (reply.replicas ?? 0) > 1, 'replicas and write concern contradict each other', reply);
    this.#count(replicated ? 'replicated' : 'local');
    if (reply.replayed) this.#count('replayed');
    const contextId = reply.contextId as ContextId;
    this.#acknowledged.set(contextId, { session: client.session, replicated });
    client.said = read;
    client.contextId = contextId;
    client.pending = undefined;
  }

  #onError(client: Client, node: Node, error: unknown): void {
    if (node.dead || client.over) return;
    if (!(error instanceof DiscedgeError)) throw error;
    this.#count(error.code);
    // A turn that another attempt stored after the node had decided: the next attempt is a replay.
    check(error.code === 'context_stale', `a turn failed with ${error.code}: ${error.message}`, client);
  }

  /** One way carries some of what waits on it. */
  async #carry(): Promise<void> {
    for (const parcel of this.#network.take()) await this.#deliver(parcel);
  }

  async #deliver({ from, to, sealed }: Parcel): Promise<void> {
    const [sender, receiver] = [from, to].map((name) => this.#nodes.find((node) => node.name === name) as Node);
    await receiver?.replica.receive(sealed);
    if (sealed.record.origin === from) sender?.replica.acknowledge(sealed.hash);
  }

  #toggleLink(): void {
    this.#network.toggle();
    this.#count('link toggled');
  }

  async #fork(client: Client): Promise<void> {
    if (client.contextId === undefined || client.underWay !== undefined || this.#clients.length >= 2 * CLIENTS) return;
    const turn = 1 + this.#chance.below(client.said.length);
    const node = this.#chance.of(this.#nodes);
    const { contextId, session } = client;
    const said = client.said.slice(0, turn);
    const newSessionId = `s${++this.#sessions}`;
    const request = {
      userId: USER,
      sessionId: session,
      turn,
      contextId,
      newSessionId,
      ttlSeconds: undefined,
      maxWaitMs: 0,
    };
    try {
      // It may have to wait for a turn that its client has given up.
      const fork = await this.#meanwhile(node.manager.fork(request as never, new AbortController().signal));
      this.#acknowledged.set(fork.contextId, { session: newSessionId, replicated: false });
      const forked = { session: newSessionId, said, contextId: fork.contextId };
      this.#clients.push({ ...forked, pending: undefined, underWay: undefined, over: false });
      this.#count('forked');
    } catch (error) {
      const code = error instanceof DiscedgeError ? error.code : 'defect';
      if (code !== 'context_stale' && code !== 'session_not_found') throw error;
    }
  }

  /** Time goes on until `work` has ended. */
  async #meanwhile<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    work.then(over, over);
    while (!isOver) await this.#environment.advance(PART_MS);
    return work;
  }

  async #delete(client: Client): Promise<void> {
    if (client.contextId === undefined || client.underWay !== undefined) return;
    try {
      await this.#chance.of(this.#nodes).manager.sessions.delete(USER as never, client.session as never);
    } catch (error) {
      if (error instanceof DiscedgeError && error.code === 'session_not_found') return;
      throw error;
    }
    this.#deleted = [...this.#deleted, client.session];
    this.#replace(client);
    this.#count('deleted');
  }

  /** A node loses its disk, once; the others give it, and each other, what they have of everybody's records. */
  async #wipe(): Promise<void> {
    if (this.#wiped) return;
    this.#wiped = true;
    this.#count('wiped');
    const index = this.#chance.below(this.#nodes.length);
    const old = this.#nodes[index] as Node;
    old.dead = true;
    old.replica.onWritten = () => {};
    const others = this.#nodes.filter((node) => node !== old);
    this.#nodes[index] = this.#startNode(old.name, '00000002');
    this.#network.forget(old.name);
    for (const from of others) {
      for (const to of this.#nodes.filter((node) => node !== from)) {
        const missing = [...from.replica.held.values()].filter(
          ({ hash, record }) => !to.replica.held.has(hash) && (to.name === old.name || record.origin === old.name),
        );
        this.#network.send(from.name, to.name, missing);
      }
    }
    const records = others.flatMap(({ replica }) => [...replica.held.values()].map(({ record }) => record));
    const isDeleted = (session: string) =>
      records.some(({ kind, sessionId }) => kind === 'tombstone' && sessionId === session);
    // A deletion that was nowhere else is lost as well.
    this.#deleted = this.#deleted.filter(isDeleted);
    const survives = (hash: ContextId) => others.some(({ replica }) => replica.held.has(hash));
    for (const [hash, { session, replicated }] of this.#acknowledged) {
      if (survives(hash) || this.#deleted.includes(session)) continue;
      check(!replicated, 'a replicated turn was lost with one node', { hash });
      this.#acknowledged.delete(hash);
      this.#count('lost');
    }
    for (const client of [...this.#clients]) {
      if (client.contextId !== undefined && !survives(client.contextId)) this.#replace(client);
    }
  }

  #replace(client: Client): void {
    client.over = true;
    this.#clients[this.#clients.indexOf(client)] = this.#newClient();
  }

  #newClient(): Client {
    const session = `s${++this.#sessions}`;
    return { session, said: [], contextId: undefined, pending: undefined, underWay: undefined, over: false };
  }

  #startNode(name: string, incarnation: string): Node {
    const node = startSimulatedNode(name, incarnation, {
      ...{ environment: this.#environment, llm: this.#llm, template: this.#template, chance: this.#chance },
      others: () => this.#nodes,
      isOpen: (from, to) => this.#network.isOpen(from, to),
    });
    node.replica.onWritten = (sealed) => {
      for (const to of NODES) this.#network.send(name, to, [sealed]);
    };
    return node;
  }

  async #tipsAt({ manager }: Node, session: string): Promise<string> {
    try {
      return (await manager.sessions.show(USER as never, session as never)).tips.map(({ hash }) => hash).join();
    } catch (error) {
      return (error as DiscedgeError).code;
    }
  }

  async #idle(): Promise<void> {
    const isBusy = () => this.#clients.some(({ underWay }) => underWay !== undefined) || !this.#network.isEmpty;
    for (let rounds = 0; isBusy(); rounds++) {
      check(rounds < IDLE_ROUNDS_MAX, 'requests never ended');
      for (const parcel of this.#network.takeAll()) await this.#deliver(parcel);
      await this.#environment.advance(WAIT_MS);
    }
    if (this.#broken.length > 0) throw this.#broken[0];
  }

  #count(event: string): void {
    this.events.set(event, (this.events.get(event) ?? 0) + 1);
  }
}

const CONCERNS = ['local', 'replicated'] as const;

function messagesIn(prompt: string): string[] {
  return [...prompt.matchAll(/<\|im_start\|>user\n(.*?)<\|im_end\|>/gs)].map((match) => match[1] as string);
}

function check(holds: boolean, promise: string, about?: object): void {
  if (!holds) throw new Error(`${promise}: ${JSON.stringify(about)}`);
}

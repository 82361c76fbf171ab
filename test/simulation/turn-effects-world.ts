import type { TurnReply } from '../../src/context-manager/turn/turn.ts';
import { DiscedgeError } from '../../src/domain/errors.ts';
import type { ContextId, TurnNumber } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import type { RememberedTurn } from '../../src/domain/session/turn-repair.ts';
import { type ChatTemplate, compileChatTemplate } from '../../src/llm-service/chat-template.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';
import { Chance, yielded } from '../../tools/chance.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../tools/virtual-environment.ts';
import { requestOf } from '../support/context-manager-rig.ts';
import { HaltingClock, slowed } from './halting-clock.ts';
import { SimulatedNetwork } from './simulated-network.ts';
import { type SimulatedNode, startSimulatedNode } from './simulated-node.ts';
import { missingFromLine } from './told-turns.ts';

/**
 * What may go wrong with nodes while clients send one turn to several of them. `loss`: a node dies before what it wrote last has
 * reached another, and is back with its disk at the end at the latest; clients repair what they have seen.
 */
export type NodeFault = 'restart' | 'hang' | 'cut' | 'loss';

const NODES = ['a', 'b', 'c'];
const SESSIONS = 3;
const WAIT_MS = 100;
/** Virtual milliseconds within which every request has an end once nothing is wrong any more. */
const ENDS_MS = 120_000;

interface Session {
  readonly name: string;
  turn: number;
  contextId: ContextId | undefined;
  /** Every turn as it was answered, oldest first. */
  readonly told: RememberedTurn[];
  /** A node has said that it lacks the turns before the next one. */
  isLost: boolean;
}

interface Place {
  readonly name: string;
  readonly clock: HaltingClock;
  node: SimulatedNode;
  /** Nothing that was on its way to or from it arrives. */
  isLost?: boolean;
}

/**
 * Clients that send the same turn of a session to several nodes at once, give up, and send it again, while nodes are killed
 * and started again, hang, and lose each other. Throws when two effects of one turn are both said to be the only one, and
 * where nothing goes wrong when there are two at all; and when a turn that a client was answered is not part of what it goes
 * on from in the end. Returns how often what happened.
 */
export async function simulateTurnEffects(
  seed: number,
  steps: number,
  faults: readonly NodeFault[],
): Promise<ReadonlyMap<string, number>> {
  const world = await World.create(seed, faults);
  for (let step = 0; step < steps; step++) await world.act();
  await world.end();
  return world.events;
}

class World {
  readonly events = new Map<string, number>();
  readonly #chance: Chance;
  readonly #environment: VirtualEnvironment;
  readonly #template: ChatTemplate;
  readonly #llm: LlmService;
  readonly #faults: readonly NodeFault[];
  readonly #network: SimulatedNetwork;
  readonly #places: Place[];
  readonly #sessions: Session[];
  /** Records by the turn that they answer. */
  readonly #effects = new Map<string, Set<ContextId>>();
  /** Said to be the only one. */
  readonly #sure = new Map<ContextId, string>();
  readonly #underWay = new Map<AbortController, string>();
  readonly #trace: string[] = [];
  readonly #defects: unknown[] = [];
  #messages = 0;

  static async create(seed: number, faults: readonly NodeFault[]): Promise<World> {
    const environment = virtualEnvironment({ seed });
    const llm = startScripted({ reply: () => 'yes' }, environment);
    const template = await compileChatTemplate(llm.description, (text, how) => llm.tokenize(text, how));
    return new World({ chance: new Chance(seed), environment, llm, template, faults });
  }

  private constructor(parts: {
    chance: Chance;
    environment: VirtualEnvironment;
    llm: LlmService;
    template: ChatTemplate;
    faults: readonly NodeFault[];
  }) {
    this.#chance = parts.chance;
    this.#environment = parts.environment;
    this.#llm = parts.llm;
    this.#template = parts.template;
    this.#faults = parts.faults;
    this.#network = new SimulatedNetwork(NODES, parts.chance);
    this.#places = [];
    for (const name of NODES) {
      const clock = new HaltingClock(this.#environment.clock);
      this.#places.push({ name, clock, node: this.#start(name, clock) });
    }
    this.#sessions = Array.from({ length: SESSIONS }, () => this.#newSession());
  }

  async act(): Promise<void> {
    const session = this.#chance.of(this.#sessions);
    const faulty = (fault: NodeFault, weight: number) => (this.#faults.includes(fault) ? weight : 0);
    const act = this.#chance.weighted<() => unknown>([
      [30, () => this.#send(session)],
      [25, () => this.#carry()],
      [25, () => this.#environment.advance(this.#chance.below(100))],
      [10, () => this.#environment.advance(this.#chance.below(3_000))],
      [10, () => this.#giveUp()],
      [faulty('cut', 3), () => this.#network.toggle()],
      [faulty('hang', 3), () => this.#hang()],
      [faulty('restart', 3), () => this.#restart()],
      [faulty('loss', 3), () => this.#lose()],
    ]);
    await act();
    await yielded(this.#chance.below(6));
    this.#check();
  }

  /** Nothing is wrong any more: every request has an end, and all nodes the same. */
  async end(): Promise<void> {
    this.#network.heal();
    for (const place of this.#places) {
      place.clock.goOn();
      if (place.node.dead) this.#return(place);
    }
    for (let ms = 0; this.#underWay.size > 0; ms += WAIT_MS) {
      if (ms > ENDS_MS) throw this.#broken('requests never ended', [...this.#underWay.values()]);
      await this.#deliver(this.#network.takeAll());
      await this.#environment.advance(WAIT_MS);
    }
    while (!this.#network.isEmpty) await this.#deliver(this.#network.takeAll());
    this.#check();
    if (!this.#faults.includes('loss')) return;
    const held = new Map(this.#places.flatMap(({ node }) => [...node.replica.held]));
    for (const { name, told } of this.#sessions) {
      const turn = missingFromLine(told, held);
      if (turn !== undefined)
        throw this.#broken('a turn that was answered is not part of what its client goes on from', { name, turn });
    }
  }

  #send(session: Session): void {
    const place = this.#chance.of(this.#places);
    if (place.node.dead) return;
    const isOther = this.#chance.oneIn(10);
    const text = isOther ? `other ${++this.#messages}` : `turn ${session.turn}`;
    const { turn, contextId } = session;
    const waiting = new AbortController();
    const what = `${session.name} turn ${turn}${isOther ? ' (other)' : ''} at ${place.name}`;
    this.#log(`send ${what}`);
    this.#underWay.set(waiting, what);
    const { node } = place;
    const loses = this.#faults.includes('loss');
    const named = loses || this.#chance.oneIn(2) ? contextId : undefined;
    const repair = loses && session.isLost && session.told.length > 0 ? { repair: session.told.slice(-8) } : {};
    const mayPromiseLess = this.#faults.length > 0 && !loses && this.#chance.oneIn(10);
    const consistency = mayPromiseLess ? 'available' : 'strong';
    const request = requestOf({
      session: session.name,
      text,
      turn,
      contextId: named,
      consistency,
      maxWaitMs: WAIT_MS,
      ...repair,
    });
    node.manager
      .takeTurn(request, { part: () => {}, gone: waiting.signal })
      .then((reply) => node.dead || this.#onReply(session, what, reply, { turn, text }))
      .catch((error) => node.dead || this.#onError(session, what, error))
      .catch((broken) => this.#defects.push(broken))
      .finally(() => this.#underWay.delete(waiting));
  }

  #onReply(session: Session, what: string, reply: TurnReply, sent: { turn: number; text: string }): void {
    const contextId = reply.contextId as ContextId;
    this.#log(`answered ${what}: ${contextId.slice(0, 6)} ${reply.replayed ? 'replayed' : reply.arbitrated}`);
    this.#count(reply.replayed ? 'replayed' : reply.arbitrated ? 'sure' : 'unsure');
    if (reply.arbitrated === true) this.#sure.set(contextId, what);
    if (session.turn !== sent.turn) return;
    // Under `available` from less than the client has seen.
    session.turn = (reply.basedOnTurn ?? 0) + 2;
    session.contextId = contextId;
    session.isLost = false;
    session.told.push({ turn: sent.turn as TurnNumber, contextId, prompt: sent.text, reply: reply.text });
    if (reply.repairedTurns > 0) this.#count('repaired');
  }

  #onError(session: Session, what: string, error: unknown): void {
    const code = error instanceof DiscedgeError ? error.code : String(error);
    this.#log(`failed ${what}: ${code}`);
    this.#count(code);
    if (code === 'context_stale') session.isLost = true;
    if (code === 'repair_incomplete' && this.#faults.includes('loss')) return;
    if (code === 'turn_cancelled' || code === 'context_stale' || code === 'turn_conflict') return;
    throw error;
  }

  #giveUp(): void {
    const [waiting] = [...this.#underWay.keys()].filter(() => this.#chance.oneIn(2));
    waiting?.abort();
    this.#count('given up');
  }

  #hang(): void {
    const place = this.#chance.of(this.#places);
    this.#log(`${place.clock.isHalted ? 'goes on' : 'hangs'} ${place.name}`);
    if (place.clock.isHalted) place.clock.goOn();
    else place.clock.halt();
    this.#count('hang');
  }

  /** Killed wherever it is, or started again with what is on its disk. */
  #restart(): void {
    const place = this.#chance.of(this.#places);
    this.#log(`${place.node.dead ? 'starts' : 'dies'} ${place.name}`);
    if (place.node.dead) this.#return(place);
    else place.node.dead = true;
    this.#count('restart');
  }

  /** Dies with what has not reached another node. */
  #lose(): void {
    const place = this.#chance.of(this.#places);
    if (place.node.dead) {
      this.#return(place);
      return;
    }
    this.#log(`is lost ${place.name}`);
    place.node.dead = true;
    place.isLost = true;
    this.#network.forget(place.name);
    this.#count('loss');
  }

  /** With what is on its disk; after a loss all nodes are told of what they lack of each other. */
  #return(place: Place): void {
    place.node = this.#start(place.name, place.clock, place.node);
    if (!place.isLost) return;
    place.isLost = false;
    for (const other of this.#places) {
      this.#network.send(place.name, other.name, [...place.node.replica.held.values()]);
      this.#network.send(other.name, place.name, [...other.node.replica.held.values()]);
    }
  }

  #start(name: string, clock: HaltingClock, before?: SimulatedNode): SimulatedNode {
    const llm = slowed(this.#llm, clock, () =>
      this.#chance.weighted([
        [6, 5],
        [3, 300],
        [1, 9_000],
      ]),
    );
    const node = startSimulatedNode(name, '00000001', {
      environment: { ...this.#environment, clock },
      ...{ llm, template: this.#template, chance: this.#chance },
      others: () => this.#places.map((place) => (place.clock.isHalted ? { ...place.node, dead: true } : place.node)),
      isOpen: (from, to) => this.#network.isOpen(from, to),
      isRestart: before !== undefined,
    });
    for (const sealed of before?.replica.held.values() ?? []) void node.replica.receive(sealed);
    node.replica.onWritten = (sealed) => {
      if (node.dead) return;
      for (const to of NODES) this.#network.send(name, to, [sealed]);
      this.#note(sealed, name);
    };
    return node;
  }

  #note({ record, hash }: SealedRecord, node: string): void {
    if (record.kind !== 'turn') return;
    const spot = `${record.sessionId} turn ${record.turn} after ${record.parent}`;
    const effects = this.#effects.get(spot) ?? new Set();
    this.#effects.set(spot, effects.add(hash));
    this.#log(`written at ${node}: ${hash.slice(0, 6)} is ${record.sessionId} turn ${record.turn}`);
  }

  #check(): void {
    if (this.#defects.length > 0) throw this.#broken(String(this.#defects[0]), {});
    for (const [spot, hashes] of this.#effects) {
      const sure = [...hashes].filter((hash) => this.#sure.has(hash));
      if (sure.length > 1)
        throw this.#broken('two effects of one turn are both said to be the only one', { spot, sure });
      if (hashes.size > 1) this.#count('two effects');
      if (hashes.size > 1 && this.#faults.length === 0) throw this.#broken('a turn has two effects', { spot });
    }
  }

  async #carry(): Promise<void> {
    await this.#deliver(this.#network.take());
  }

  async #deliver(parcels: ReturnType<SimulatedNetwork['take']>): Promise<void> {
    for (const { from, to, sealed } of parcels) {
      const place = this.#places.find(({ name }) => name === to) as Place;
      if (place.node.dead || place.clock.isHalted) this.#network.send(from, to, [sealed]);
      else await place.node.replica.receive(sealed);
    }
  }

  #newSession(): Session {
    return { name: `s${this.#chance.below(1e6)}`, turn: 1, contextId: undefined, told: [], isLost: false };
  }

  #count(event: string): void {
    this.events.set(event, (this.events.get(event) ?? 0) + 1);
  }

  #log(line: string): void {
    this.#trace.push(`${this.#environment.clock.monotonic()} ms: ${line}`);
  }

  #broken(promise: string, about: object): Error {
    return new Error(`${promise}: ${JSON.stringify(about)}\n${this.#trace.slice(-60).join('\n')}`);
  }
}

import { policyOf } from '../../src/context-manager/warmer/policies.ts';
import { WarmingPlan } from '../../src/context-manager/warmer/warming-plan.ts';
import type { WarmingPolicy } from '../../src/context-manager/warmer/warming-policy.ts';
import type { Expected } from '../../src/context-manager/warmer/warming-queue.ts';
import {
  ANONYMOUS,
  type KeygroupId,
  type SessionId,
  type SessionKey,
  sessionKeyText,
} from '../../src/domain/identifiers.ts';
import type { WarmingPolicyName } from '../../src/domain/warming-policies.ts';
import { Chance } from '../chance.ts';
import { MOVEMENTS, type Movement, type MovementName, nodeIdOf, type Place } from './movement.ts';
import { type EngineCost, SimulatedEngine } from './simulated-engine.ts';

export interface RoamingWorkload {
  readonly movement: MovementName;
  readonly policy: WarmingPolicyName;
  readonly seed: number;
  readonly clients: number;
  /** Sessions' states that fit into the KV cache of a node, at their mean length. */
  readonly roomSessions: number;
  readonly minutes: number;
  readonly leastChance: number;
}

export interface RoamingResult {
  readonly handovers: number;
  /** Of them, those that found their whole context. */
  readonly warmShare: number;
  /** Of the ids that were warmed, those that no turn used. */
  readonly wasteShare: number;
  readonly warmedIds: number;
  /** By turns that waited for it. */
  readonly evaluatedIds: number;
  readonly firstTokenMs: { readonly p50: number; readonly p99: number; readonly mean: number };
  /** The same of turns that stayed at their node. */
  readonly stayingMs: { readonly p50: number };
}

/** More sessions than a node has room for, think time between turns, two hours of it. */
export const ROAMING_WORKLOAD = { clients: 24, roomSessions: 18, minutes: 120, leastChance: 0.4 } as const;

const OPENING_IDS = [500, 2_000] as const;
const MESSAGE_IDS = [15, 45] as const;
const REPLY_IDS = [60, 140] as const;
const TURNS = [6, 18] as const;
const THINK_MS = [20_000, 100_000] as const;
const MEAN_CONTEXT_IDS = 2_000;
const REPLICATION_MS = 50;
const COST = { msPerId: 1, msPerReplyId: 10 } as const;
const KEYGROUP = '0123456789abcdef' as KeygroupId;

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

const OFF: WarmingPolicy = { expect: () => undefined };

interface Client {
  place: Place;
  key: SessionKey;
  turn: number;
  turnsLeft: number;
  contextIds: number;
  lastNode: number | undefined;
}

interface Warming {
  readonly expected: Expected;
  readonly startedMs: number;
  readonly fromIds: number;
  readonly toIds: number;
}

interface SimulatedNode {
  readonly plan: WarmingPlan;
  readonly engine: SimulatedEngine;
  running: number;
  warming: Warming | undefined;
  /** It stood aside for a turn, and goes on after it. */
  interrupted: Expected | undefined;
}

/**
 * Many clients that roam, and nodes that warm by the policy and queue of a real one, over engines that only cost time: one seed
 * gives one outcome. Warming stands still while a turn runs; what is done of it stays.
 */
export function simulateRoaming(workload: RoamingWorkload): RoamingResult {
  return new Simulation(workload).run();
}

class Simulation {
  readonly #workload: RoamingWorkload;
  readonly #movement: Movement;
  readonly #chance: Chance;
  readonly #nodes: SimulatedNode[];
  readonly #events: Event[] = [];
  readonly #moved: number[] = [];
  readonly #stayed: number[] = [];
  readonly #contexts = new Map<string, number>();
  #nowMs = 0;
  #order = 0;
  #warm = 0;
  #sessions = 0;

  constructor(workload: RoamingWorkload) {
    this.#workload = workload;
    this.#movement = MOVEMENTS[workload.movement];
    this.#chance = new Chance(workload.seed);
    const placed = Array.from({ length: this.#movement.nodes }, (_, node) => ({
      nodeId: nodeIdOf(node),
      location: this.#movement.location(node),
    }));
    const cost: EngineCost = { ...COST, roomIds: workload.roomSessions * MEAN_CONTEXT_IDS };
    this.#nodes = placed.map((self) => {
      const others = placed.filter((other) => other !== self);
      const nodes = { self, others: () => others };
      const plan = new WarmingPlan(policyOf(workload.policy, nodes, workload) ?? OFF, { now: () => this.#nowMs });
      return { plan, engine: new SimulatedEngine(cost), running: 0, warming: undefined, interrupted: undefined };
    });
  }

  run(): RoamingResult {
    for (let client = 0; client < this.#workload.clients; client++) this.#open(undefined);
    const endMs = this.#workload.minutes * 60_000;
    for (let event = this.#next(); event !== undefined && event.atMs <= endMs; event = this.#next()) {
      this.#nowMs = event.atMs;
      event.run();
    }
    for (const { engine } of this.#nodes) engine.close();
    const sum = (of: 'warmedIds' | 'wastedIds' | 'evaluatedIds') =>
      this.#nodes.reduce((total, { engine }) => total + engine.counts[of], 0);
    const warmedIds = sum('warmedIds');
    return {
      handovers: this.#moved.length,
      warmShare: this.#warm / this.#moved.length,
      wasteShare: warmedIds === 0 ? 0 : sum('wastedIds') / warmedIds,
      warmedIds,
      evaluatedIds: sum('evaluatedIds'),
      firstTokenMs: {
        p50: quantile(this.#moved, 0.5),
        p99: quantile(this.#moved, 0.99),
        mean: this.#moved.reduce((total, ms) => total + ms, 0) / this.#moved.length,
      },
      stayingMs: { p50: quantile(this.#stayed, 0.5) },
    };
  }

  #next() {
    let first = 0;
    for (let index = 1; index < this.#events.length; index++) {
      const [a, b] = [this.#events[index], this.#events[first]] as [Event, Event];
      if (a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)) first = index;
    }
    return this.#events.splice(first, 1)[0];
  }

  #after(ms: number, run: () => void): void {
    this.#events.push({ atMs: this.#nowMs + ms, order: this.#order++, run });
  }

  #draw([least, most]: readonly [number, number]): number {
    return least + this.#chance.below(most - least + 1);
  }

  /** A client that begins a session, where it is. */
  #open(at: Place | undefined): void {
    const sessionId = `s${this.#sessions++}` as SessionId;
    const client: Client = {
      place: at ?? { node: this.#chance.below(this.#movement.nodes), heading: 1, turnsHere: 1 },
      key: { keygroup: KEYGROUP, userId: ANONYMOUS, sessionId },
      turn: 0,
      turnsLeft: this.#draw(TURNS),
      contextIds: this.#draw(OPENING_IDS),
      lastNode: undefined,
    };
    this.#after(this.#draw(THINK_MS), () => this.#turn(client));
  }

  #turn(client: Client): void {
    const { place, key, contextIds, lastNode } = client;
    const node = this.#nodes[place.node] as SimulatedNode;
    const keyText = sessionKeyText(key);
    this.#standStill(node);
    node.running++;
    if (node.interrupted !== undefined && sessionKeyText(node.interrupted.key) === keyText)
      node.interrupted = undefined;
    const held = node.engine.heldIds(keyText);
    const [newIds, replyIds] = [this.#draw(MESSAGE_IDS), this.#draw(REPLY_IDS)];
    const took = node.engine.turn(keyText, { contextIds, newIds, replyIds });
    if (lastNode !== undefined && lastNode !== place.node) {
      this.#moved.push(took.firstMs);
      if (held === contextIds) this.#warm++;
    } else if (lastNode !== undefined) this.#stayed.push(took.firstMs);
    client.contextIds += newIds + replyIds;
    client.lastNode = place.node;
    client.turn++;
    client.turnsLeft--;
    this.#after(took.totalMs, () => {
      node.running--;
      this.#tell(client);
      this.#goOn(node);
      if (client.turnsLeft === 0) {
        this.#open(client.place);
        return;
      }
      client.place = this.#movement.next(client.place, this.#chance);
      this.#after(this.#draw(THINK_MS), () => this.#turn(client));
    });
  }

  /** The turn's record is at its node now, and soon at the others. */
  #tell({ place, key, turn, contextIds }: Client): void {
    const nextNodes = this.#workload.policy === 'hinted' ? [nodeIdOf(this.#movement.likeliest(place))] : [];
    const seen = { turn, node: nodeIdOf(place.node), atMs: this.#nowMs, nextNodes };
    const keyText = sessionKeyText(key);
    for (const [index, node] of this.#nodes.entries()) {
      const isHere = index === place.node;
      this.#after(isHere ? 0 : REPLICATION_MS, () => {
        this.#contexts.set(keyText, Math.max(contextIds, this.#contexts.get(keyText) ?? 0));
        const current = node.warming?.expected ?? node.interrupted;
        if (current !== undefined && sessionKeyText(current.key) === keyText) {
          this.#standStill(node);
          node.interrupted = undefined;
        }
        const chance = node.plan.seen(key, seen, isHere ? 'here' : 'elsewhere');
        if (chance !== undefined) node.engine.expect(keyText, chance);
        this.#goOn(node);
      });
    }
  }

  /** A turn begins, or the session's record is another now: what is done of a warming stays. */
  #standStill(node: SimulatedNode): void {
    const { warming } = node;
    if (warming === undefined) return;
    const { expected, startedMs, fromIds, toIds } = warming;
    node.warming = undefined;
    const ids = Math.min(toIds, fromIds + Math.floor((this.#nowMs - startedMs) / COST.msPerId));
    const { key, chance } = expected;
    node.engine.warmed(sessionKeyText(key), { tokens: ids, chance });
    if (ids < toIds) node.interrupted = expected;
  }

  #goOn(node: SimulatedNode): void {
    if (node.running > 0 || node.warming !== undefined) return;
    const expected = node.interrupted ?? node.plan.take();
    node.interrupted = undefined;
    if (expected !== undefined) this.#begin(node, expected);
  }

  #begin(node: SimulatedNode, expected: Expected): void {
    const keyText = sessionKeyText(expected.key);
    const fromIds = node.engine.heldIds(keyText);
    const toIds = this.#contexts.get(keyText) ?? 0;
    if (toIds <= fromIds || !node.engine.claim(keyText, { tokens: toIds, chance: expected.chance })) {
      this.#goOn(node);
      return;
    }
    const warming = { expected, startedMs: this.#nowMs, fromIds, toIds };
    node.warming = warming;
    this.#after((toIds - fromIds) * COST.msPerId, () => {
      if (node.warming !== warming) return;
      this.#standStill(node);
      this.#goOn(node);
    });
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

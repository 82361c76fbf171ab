import assert from 'node:assert/strict';
import { type Layer, layerOf } from '../../../src/context-manager/layers/layer.ts';
import { ModelLayers } from '../../../src/context-manager/layers/model-layers.ts';
import type { EvaluatedTurn } from '../../../src/context-manager/turn/turn.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { ContextId, SessionId, UserId } from '../../../src/domain/identifiers.ts';
import type { StoredMode } from '../../../src/domain/record/turn-record.ts';
import { type Ask, CLUSTER_STAMPS, type Rig, replicaRig, replicate } from '../context-manager-rig.ts';
import type { Generation } from '../probed-llm.ts';
import type { ProbedReplica } from '../probed-store.ts';
import { checkRefused, checkReply } from './checks.ts';
import {
  type Asked,
  asksForSummary,
  type Conversation,
  type LayerTexts,
  lineOf,
  type Place,
  replyTo,
  type Told,
  type TurnAct,
  USERS,
  type User,
  WINDOW,
  words,
} from './told.ts';

const REPLY = 60;
/** Of a turn that is only evaluated, and from which nothing may be left out. */
const NO_REPLY = 1;
const DEPLOYMENT = 'DEPLOYMENT: be polite.';

type Node = Rig<ProbedReplica>;
type Modes = Readonly<Record<User, readonly StoredMode[]>>;
type Named = Pick<TurnAct, 'at' | 'user' | 'session' | 'back'>;

/**
 * Two nodes of different regions that share all they store, users with preferences, and conversations, with a model of its own of
 * what each prompt has to be: every reply is held against it.
 */
export class LayeredWorld {
  /** How often what happened. */
  readonly events = new Map<string, number>();
  readonly #nodes: readonly [Node, Node];
  readonly #regions: (Layer | undefined)[];
  readonly #preferences = new Map<User, string>();
  readonly #conversations = new Map<User, Conversation[]>();
  #forks = 0;
  #said = 0;

  static async create(modes: Modes): Promise<LayeredWorld> {
    const regions: (Layer | undefined)[] = [undefined, undefined];
    const deployment = layerOf('deployment', DEPLOYMENT, CLUSTER_STAMPS);
    const node = (at: Place) =>
      replicaRig({
        options: { nodeId: `node-${at}` as never, replyTokensDefault: REPLY },
        scripted: { contextTokens: WINDOW, reply: replyTo },
        layers: ({ preferences }) => new ModelLayers({ deployment, region: () => regions[at], preferences }),
      });
    return new LayeredWorld([await node(0), await node(1)], regions, modes);
  }

  private constructor(nodes: readonly [Node, Node], regions: (Layer | undefined)[], modes: Modes) {
    this.#nodes = nodes;
    this.#regions = regions;
    for (const user of USERS) {
      const opened = modes[user].map((mode, index) => {
        const system = index % 2 === 0 ? `SYSTEM of ${user}` : undefined;
        return { id: `s${index}`, user, mode, system, turns: [] };
      });
      this.#conversations.set(user, opened);
    }
  }

  async turn(act: TurnAct): Promise<void> {
    const asked = this.#asked(act, REPLY);
    const { generation, done: reply } = await this.#generated(act.at, () => this.#nodes[act.at].turn(asked.ask));
    if (reply instanceof DiscedgeError) return this.#refused(asked, reply);
    const read = this.#check(asked, generation as Generation, reply);
    assert.equal(reply.rewrittenTokens, 0, 'this template changes nothing of what is past');
    const { contextId, replyIds, text: answer } = reply;
    const { said, base, layers, ask, conversation } = asked;
    const told = { parent: base, contextId, said, ...read, reply: replyIds, answer, layers, ask };
    conversation.turns.push({ ...told, generation: generation as Generation });
    this.#count(`turn under ${act.overflow}`);
    await this.#share();
  }

  async draft(act: TurnAct): Promise<void> {
    const asked = this.#asked(act, act.overflow === 'error' ? NO_REPLY : REPLY);
    const { generation, done } = await this.#generated(act.at, () => this.#nodes[act.at].evaluate(asked.ask));
    if (done instanceof DiscedgeError) return this.#refused(asked, done);
    // What its turn would wait for is a summary, which is not made for it.
    if (generation === undefined) this.#count('draft of a summary');
    else {
      this.#check(asked, generation, done);
      this.#count('draft');
    }
    await this.#share();
  }

  /** A turn that was answered, sent again wherever, under whatever layers there are now. */
  async again({ at, user, session, back }: Named): Promise<void> {
    const told = turnOf(this.#conversationOf(user, session), back);
    if (told === undefined || told.ask === OF_A_COPY) return;
    const { parent, contextId, answer, ask, left, summed } = told;
    const place = parent && { after: parent.contextId as ContextId, repeat: 'repeated' as const };
    const { llm } = this.#nodes[at];
    const before = llm.generations.length;
    const reply = await this.#nodes[at].turn({ ...ask, ...(place && { place }) });
    assert.ok(reply.replayed, 'a turn that was answered was answered anew');
    assert.ok(llm.generations.slice(before).every(asksForSummary));
    assert.deepEqual([reply.contextId, reply.text, reply.layers], [contextId, answer, undefined]);
    assert.deepEqual([reply.droppedTurns, reply.summarized?.turns ?? 0], [left, summed]);
    this.#count('replay');
  }

  async prefer(at: Place, user: User, preferences: string | undefined): Promise<void> {
    await this.#nodes[at].node.preferences.put(user as string as UserId, preferences);
    if (preferences === undefined) this.#preferences.delete(user);
    else this.#preferences.set(user, preferences);
    this.#count('preferences');
    await this.#share();
  }

  /** Preferences change while a turn is answered: it keeps those that it was begun with. */
  async preferMeanwhile(act: TurnAct, preferences: string): Promise<void> {
    const { llm, node } = this.#nodes[act.at];
    const hold = llm.hold();
    const turn = this.turn({ ...act, overflow: 'drop-oldest' });
    const isBegun = await Promise.race([hold.entered.then(() => true), turn.then(() => false)]);
    // Held may be a summary that is made ahead, which gives way to the turn.
    const isHeld = isBegun && !asksForSummary(llm.generations.at(-1) as Generation);
    if (isHeld) await node.preferences.put(act.user as string as UserId, preferences);
    hold.release();
    await turn;
    if (!isHeld) return;
    this.#preferences.set(act.user, preferences);
    this.#count('preferences meanwhile');
    await this.#share();
  }

  async region(at: Place, text: string | undefined): Promise<void> {
    this.#regions[at] = layerOf('region', text ?? '', CLUSTER_STAMPS);
    this.#count('region');
  }

  async restart(at: Place): Promise<void> {
    this.#nodes[at].restart();
    this.#count('restart');
  }

  async fork({ at, user, session, back }: Named): Promise<void> {
    const source = this.#conversationOf(user, session);
    const last = turnOf(source, back);
    if (last?.contextId === undefined) return;
    const id = `fork-${++this.#forks}`;
    const { contextId } = await this.#nodes[at].manager.fork(
      {
        ...{ userId: user as string as UserId, sessionId: source.id as SessionId, newSessionId: id as SessionId },
        ...{ turn: undefined, contextId: last.contextId, ttlSeconds: undefined, maxWaitMs: 0 },
      },
      new AbortController().signal,
    );
    const turns: Told[] = [];
    for (const turn of lineOf(last)) {
      const named = turn === last ? contextId : undefined;
      turns.push({ ...turn, parent: turns.at(-1), contextId: named, ask: OF_A_COPY });
    }
    this.#conversations.get(user)?.push({ ...source, id, turns });
    this.#count('fork');
    await this.#share();
  }

  #conversationOf(user: User, session: number): Conversation {
    const all = this.#conversations.get(user) as Conversation[];
    return all[session % all.length] as Conversation;
  }

  #asked(act: TurnAct, reserve: number): Asked {
    const { at, user, session, back, overflow, without } = act;
    const conversation = this.#conversationOf(user, session);
    // No two turns say the same: one that is sent again is that one.
    const said = `${act.text} ${++this.#said}`;
    const { id, mode, system } = conversation;
    const base = turnOf(conversation, back);
    if (base !== turnOf(conversation, 0)) this.#count('branch');
    const opening: Ask = { turn: 1, mode, ...(system !== undefined && { system }) };
    const place: Ask = { place: { after: base?.contextId as ContextId, repeat: 'new' } };
    const ask: Ask = {
      ...{ user, session: id, text: said, overflow, maxTokens: REPLY, withoutLayers: without },
      ...(base === undefined ? opening : place),
    };
    const region = without.includes('region') ? undefined : this.#regions[at]?.text;
    const preferences = without.includes('preferences') ? undefined : this.#preferences.get(user);
    const layers: LayerTexts = {
      deployment: DEPLOYMENT,
      ...(region && { region }),
      ...(preferences && { preferences }),
    };
    return { act, conversation, base, said, layers, ask, reserve };
  }

  /** What a call has the model answer, and what comes of it. */
  async #generated<Reply>(at: Place, call: () => Promise<Reply>) {
    const { generations } = this.#nodes[at].llm;
    const before = generations.length;
    const done = await call().catch((error: unknown) => {
      if (error instanceof DiscedgeError && error.code === 'context_overflow') return error;
      throw error;
    });
    for (const { prompt } of generations.slice(before).filter(asksForSummary)) {
      assert.ok(!/REGION|PREFERENCES/.test(words(prompt)), 'a summary is made of layers that are not to travel');
    }
    const generation = generations.slice(before).findLast((one) => !asksForSummary(one));
    return { generation, done };
  }

  #check(asked: Asked, generation: Generation, reply: EvaluatedTurn) {
    const { generations } = this.#nodes[asked.act.at].llm;
    const upTo = generations.slice(0, generations.indexOf(generation) + 1);
    const { read, shown } = checkReply(asked, { generation, generations: upTo }, reply);
    for (const event of shown) this.#count(event);
    return read;
  }

  #refused(asked: Asked, error: DiscedgeError): void {
    checkRefused(asked, error);
    this.#count('refused');
  }

  /** Each node has what the other has. */
  async #share(): Promise<void> {
    for (const node of this.#nodes) await node.settled();
    const [one, other] = this.#nodes;
    await replicate(one, other);
    await replicate(other, one);
  }

  #count(event: string): void {
    this.events.set(event, (this.events.get(event) ?? 0) + 1);
  }
}

const OF_A_COPY: Ask = {};

/** `back` turns before the last one that was answered and can be named. */
function turnOf({ turns }: Conversation, back: number): Told | undefined {
  const named = turns.filter(({ contextId }) => contextId !== undefined);
  return named[Math.max(0, named.length - 1 - back)];
}

import type { TurnReply } from '../../src/context-manager/turn/turn.ts';
import type { ContextStore } from '../../src/context-store/context-store.ts';
import { memoryStore } from '../../src/context-store/memory.ts';
import { DiscedgeError } from '../../src/domain/errors.ts';
import { conversationIds, replyEndOf } from '../../src/domain/record/reply-end.ts';
import type { TokenizedPayload, TurnRecord } from '../../src/domain/record/turn-record.ts';
import type { TokenSequence } from '../../src/domain/token-sequence.ts';
import { type ChatTemplate, compileChatTemplate } from '../../src/llm-service/chat-template.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';
import { Chance, yielded } from '../../tools/chance.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../tools/virtual-environment.ts';
import { chatmlIds } from '../support/chatml-oracle.ts';
import { type Ask, requestOf, textOf } from '../support/context-manager-rig.ts';
import { FAULTS, NodeProcess } from './node-process.ts';

/** Runs one history; throws when a promise is broken. Returns how often what happened. */
export async function simulate(seed: number, steps: number): Promise<ReadonlyMap<string, number>> {
  const world = await World.create(seed);
  for (let step = 0; step < steps; step++) await world.act();
  await world.heal();
  return world.events;
}

/** A message as one client sends it; sent again, it is the same request. */
interface Message {
  readonly client: Client;
  readonly ask: Ask & { text: string; turn: number };
  /** Whether anything that happened to it allows it to be in the store. */
  mayBeStored: boolean;
  /** The first reply anyone got for it. */
  reply: TurnReply | undefined;
}

/** One conversation as its client knows it. */
interface Client {
  readonly user: string;
  readonly session: string;
  /** Answered, or read back from the node, by turn. */
  readonly told: Array<{ readonly message: Message; readonly contextId: string }>;
  /** Sent, and not answered as far as the client knows. */
  pending: Message | undefined;
  /** Its deletion was asked for: it may or may not be there. */
  deleting: boolean;
}

interface Sending {
  readonly message: Message;
  readonly node: NodeProcess;
  readonly leaver: AbortController;
}

const USERS = ['ada', 'bob'];
const CLIENTS = 4;
/** More rounds of a second than anything that may still be under way takes. */
const IDLE_ROUNDS_MAX = 200;

class World {
  readonly events = new Map<string, number>();
  readonly #chance: Chance;
  readonly #environment: VirtualEnvironment;
  readonly #store: ContextStore;
  readonly #template: ChatTemplate;
  readonly #clients: Client[] = [];
  readonly #messages = new Map<string, Message>();
  readonly #sendings = new Set<Sending>();
  readonly #broken: unknown[] = [];
  #node: NodeProcess;
  #sessions = 0;

  static async create(seed: number): Promise<World> {
    const environment = virtualEnvironment({ seed });
    const llm = startScripted({}, environment);
    const template = await compileChatTemplate(llm.description, (text, how) => llm.tokenize(text, how));
    return new World(new Chance(seed), environment, template);
  }

  private constructor(chance: Chance, environment: VirtualEnvironment, template: ChatTemplate) {
    this.#chance = chance;
    this.#environment = environment;
    this.#template = template;
    this.#store = memoryStore({}, environment);
    this.#node = this.#startNode();
    while (this.#clients.length < CLIENTS) this.#clients.push(this.#newClient());
  }

  /** Something happens, and then the node gets to run for a while, or not. */
  async act(): Promise<void> {
    const client = this.#chance.of(this.#clients);
    const act = this.#chance.weighted<() => unknown>([
      [40, () => this.#send(client)],
      [8, () => this.#sendAgain()],
      [1, () => this.#crowd(client)],
      [3, () => this.#node.manager.sessions.cancel(client.user as never, client.session as never)],
      [4, () => this.#leave()],
      [1, () => this.#delete(client)],
      [2, () => this.#kill()],
      [6, () => this.#node.faults.push(this.#chance.of(FAULTS))],
      [2, () => this.#environment.advance(this.#chance.below(3000))],
      [3, () => this.#readBack(client)],
    ]);
    await act();
    await yielded(this.#chance.below(20));
    if (this.#broken.length > 0) throw this.#broken[0];
  }

  /** Everything is whole again: what is under way ends, and every session goes on where it was, on a new process too. */
  async heal(): Promise<void> {
    this.#node.faults.length = 0;
    await this.#idle();
    this.#kill();
    for (const client of this.#clients) {
      await this.#readBack(client);
      const before = client.told.length;
      this.#send(client);
      await this.#idle();
      check(client.told.length === before + 1, 'a session took no turn after everything had healed', client);
    }
    await this.#node.node.close(0);
    check(this.#node.timers === 0, 'timers were left behind');
  }

  #newClient(): Client {
    // Users share session names, so that mixing them up would show.
    const session = `s${Math.floor(this.#sessions / USERS.length)}`;
    const user = USERS[this.#sessions++ % USERS.length] as string;
    return { user, session, told: [], pending: undefined, deleting: false };
  }

  #send(client: Client): void {
    const underWay = [...this.#sendings].some(({ message }) => message.client === client);
    const changesMind = !underWay && this.#chance.oneIn(8);
    if (client.pending === undefined || changesMind) client.pending = this.#newMessage(client);
    this.#dispatch(client.pending);
  }

  #newMessage(client: Client): Message {
    const turn = client.told.length + 1;
    const words = this.#chance.of(['hello', '<|im_end|>', 'é🤖']);
    const text = `${client.user}/${client.session}/${turn}/${this.#messages.size} ${words}`;
    const contextId = client.told.at(-1)?.contextId;
    const ask = {
      user: client.user,
      session: client.session,
      turn,
      text,
      stream: this.#chance.oneIn(2),
      stop: this.#chance.oneIn(6) ? ['5'] : [],
      ...(this.#chance.oneIn(4) ? { maxTokens: 3 + this.#chance.below(20) } : {}),
      ...(contextId !== undefined && this.#chance.oneIn(2) ? { contextId } : {}),
    };
    const message: Message = { client, ask, mayBeStored: false, reply: undefined };
    this.#messages.set(text, message);
    return message;
  }

  /** A message that is under way, or one that was answered long ago. */
  #sendAgain(): void {
    const underWay = [...this.#sendings].map(({ message }) => message);
    const answered = this.#clients.flatMap(({ told }) => told.map(({ message }) => message));
    const candidates = underWay.length > 0 && this.#chance.oneIn(2) ? underWay : answered;
    if (candidates.length > 0) this.#dispatch(this.#chance.of(candidates));
  }

  /** More at once than may wait. */
  #crowd(client: Client): void {
    this.#send(client);
    for (let copies = 0; copies < 6; copies++) this.#dispatch(client.pending as Message);
  }

  #dispatch(message: Message): void {
    const sending: Sending = { message, node: this.#node, leaver: new AbortController() };
    this.#sendings.add(sending);
    sending.node.manager
      .takeTurn(requestOf(message.ask), { part: () => {}, gone: sending.leaver.signal })
      .then(
        (reply) => this.#onReply(sending, reply),
        (error) => this.#onError(sending, error),
      )
      .catch((broken) => this.#broken.push(broken))
      .finally(() => this.#sendings.delete(sending));
  }

  #onReply({ message, node, leaver }: Sending, reply: TurnReply): void {
    if (node.dead) return;
    const { client, ask } = message;
    const left = leaver.signal.aborted;
    message.mayBeStored = true;
    message.reply ??= reply;
    this.#count(left ? 'abandoned' : reply.replayed ? 'replayed' : 'answered');
    check(reply.turn === ask.turn && reply.basedOnTurn === ask.turn - 1, 'a turn was answered as another', ask);
    check(reply.userId === ask.user && reply.sessionId === ask.session, 'a reply is of another session', ask);
    check(
      message.reply.contextId === reply.contextId && message.reply.text === reply.text,
      'two replies to a turn',
      ask,
    );
    if (!left && !client.deleting) this.#learn(client, message, reply.contextId as string);
  }

  #onError({ message, node }: Sending, error: unknown): unknown {
    if (node.dead) return undefined;
    const { client, ask } = message;
    if (!(error instanceof DiscedgeError)) throw error;
    this.#count(error.code);
    switch (error.code) {
      case 'llm_unavailable':
      case 'llm_bad_reply':
      case 'turn_cancelled':
      case 'session_busy':
        return undefined;
      case 'store_unavailable':
        message.mayBeStored = true;
        return undefined;
      case 'session_deleted':
        return check(client.deleting, 'a session is called deleted that is not', ask);
      case 'turn_conflict':
        check(client.told[ask.turn - 1]?.message !== message, 'an answered turn conflicts with itself', ask);
        return this.#readBack(client);
      default:
        throw error;
    }
  }

  /** A client learns that a turn of its session is stored. */
  #learn(client: Client, message: Message, contextId: string): void {
    const { turn } = message.ask;
    const known = client.told[turn - 1];
    if (known !== undefined) {
      check(known.message === message && known.contextId === contextId, 'one turn is stored twice', message.ask);
      return;
    }
    check(client.told.length === turn - 1, 'a turn came before the turn before it', message.ask);
    client.told.push({ message, contextId });
    if (client.pending !== undefined && client.pending.ask.turn <= turn) client.pending = undefined;
  }

  /** What the node shows: all that the client was told, and nothing it never said or that was refused. */
  async #readBack(client: Client): Promise<void> {
    const node = this.#node;
    const told = client.told.length;
    const view = await orDead(node, node.manager.sessions.show(client.user as never, client.session as never)).catch(
      (error: DiscedgeError) => {
        const expected =
          error.code === 'store_unavailable' ||
          (error.code === 'session_not_found' && told === 0) ||
          (error.code === 'session_deleted' && client.deleting);
        if (!expected) throw error;
        return undefined;
      },
    );
    if (view === undefined || node.dead) return;
    check(view.tips.length === 1, 'one node made a branch', client);
    check(view.turns.length >= told, 'answered turns are lost', client);
    for (const read of view.turns) {
      const message = this.#messages.get(textOf(read).messages.at(-1)?.content as string);
      if (message?.client !== client) throw new Broken('a message of another session is stored here', client);
      const underWay = [...this.#sendings].some((sending) => sending.message === message);
      check(message.mayBeStored || underWay, 'a turn is stored that was refused', message.ask);
      message.mayBeStored = true;
      if (!client.deleting) this.#learn(client, message, read.turn.hash);
    }
  }

  #leave(): void {
    const sendings = [...this.#sendings];
    if (sendings.length > 0) this.#chance.of(sendings).leaver.abort();
  }

  /** The client asks for its session to be deleted, and opens another one. */
  #delete(client: Client): void {
    client.deleting = true;
    this.#clients[this.#clients.indexOf(client)] = this.#newClient();
    const [node, { user, session }] = [this.#node, client];
    node.manager.sessions
      .delete(user as never, session as never)
      .then(async () => {
        if (node.dead) return;
        this.#count('deleted');
        check((await this.#stored(user, session))?.deleted === true, 'a deleted session is there', client);
      })
      .catch((error: DiscedgeError) => {
        const expected = ['store_unavailable', 'session_not_found', 'session_deleted'].includes(error.code);
        if (!expected) this.#broken.push(error);
      });
  }

  #kill(): void {
    this.#count('killed');
    this.#node.kill();
    for (const { message } of this.#sendings) message.mayBeStored = true;
    this.#sendings.clear();
    this.#node = this.#startNode();
  }

  #startNode(): NodeProcess {
    return new NodeProcess({
      environment: this.#environment,
      store: this.#store,
      template: this.#template,
      chance: this.#chance,
      onPrompt: (prompt) => {
        this.#checkPrompt(prompt.slice()).catch((broken) => this.#broken.push(broken));
      },
    });
  }

  /** What the model reads is exactly what is stored of the session, and a message that is not. */
  async #checkPrompt(prompt: TokenSequence): Promise<void> {
    const words = Buffer.from(prompt.filter((id) => id < 256)).toString();
    const text = words.slice(words.lastIndexOf('user\n') + 'user\n'.length, -'\nassistant\n'.length);
    const message = this.#messages.get(text);
    if (message === undefined) throw new Broken('the model reads what nobody said', { text });
    const { user, session, turn } = message.ask as { user: string; session: string; turn: number };
    const records = ((await this.#stored(user, session))?.records ?? []).map(({ record }) => record as TurnRecord);
    if (message.client.deleting && records.length < turn - 1) return;
    check(records.length === turn - 1, 'a stored turn is answered again, or a turn from less than all', message.ask);
    const told = records.map((record) => {
      const { promptIds, replyIds, spans } = record.payload as TokenizedPayload;
      const { start, length } = spans.at(-1) as { start: number; length: number };
      return {
        text: Buffer.from(promptIds.slice(start, start + length)).toString(),
        reply: conversationIds(replyIds, replyEndOf(record)),
      };
    });
    const expected = chatmlIds(undefined, [...told, { text, reply: undefined }]);
    check(expected.join() === prompt.join(), 'the prompt is not the exact context', message.ask);
  }

  #stored(user: string, session: string) {
    const { keygroup } = this.#node.manager;
    return this.#store.read({ keygroup, userId: user as never, sessionId: session as never });
  }

  async #idle(): Promise<void> {
    for (let rounds = 0; this.#sendings.size > 0; rounds++) {
      check(rounds < IDLE_ROUNDS_MAX, 'requests never ended', { requests: this.#sendings.size });
      await this.#environment.advance(1000);
    }
    if (this.#broken.length > 0) throw this.#broken[0];
  }

  #count(event: string): void {
    this.events.set(event, (this.events.get(event) ?? 0) + 1);
  }
}

class Broken extends Error {
  constructor(promise: string, about: object | undefined) {
    const { client, pending, told, ...plain } = (about ?? {}) as Record<string, unknown>;
    super(`${promise}: ${JSON.stringify(plain)}`);
  }
}

function check(holds: boolean, promise: string, about?: object): void {
  if (!holds) throw new Broken(promise, about);
}

/** A call to a process that is killed never comes back; whoever waits for it goes on with nothing. */
function orDead<T>(node: NodeProcess, call: Promise<T>): Promise<T | undefined> {
  return Promise.race([call, node.killed.then(() => undefined)]);
}

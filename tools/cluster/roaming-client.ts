import { DiscedgeClient, DiscedgeClientError, type Reply, type Session } from '../../src/client/client.ts';
import { turnRequest } from '../../src/client/turn/turn-request.ts';
import type { Chance } from '../chance.ts';
import type { AcknowledgedReply, Operation } from './history.ts';
import { codeOf, type Observations } from './observations.ts';

/** Turns of one session at most: replies repeat all messages, and each is checked. */
const SESSION_TURNS_MAX = 24;
/** Room for all of them; the scripted LLM Service has one token per byte. */
const REPLY_TOKENS = 4_096;
/** A person's pause between two turns, short. */
const THINK_MS_MAX = 40;
/** After an attempt that failed for good, before the next one of the same turn. */
const AGAIN_MS = 100;
/** Refusals of one message, after a node has lost its disk: the turn before may have been on no other. */
const STALE_MAX = 10;
/** Of one session in a row. */
const CONFLICTS_MAX = 3;
/** One answer in so many does not arrive. */
const ANSWERS_PER_LOSS = 50;
/** Longer than a turn gate waits; a node that hangs is given up then. */
const ATTEMPT_WAIT_MS = 3_000;

/** A node's word that it stores nothing of a request. */
const REFUSALS: ReadonlySet<string> = new Set(['turn_conflict', 'context_stale']);

export interface ClientParts {
  readonly name: string;
  readonly nodeUrls: readonly string[];
  readonly chance: Chance;
  readonly observations: Observations;
  /** Nodes that clients cannot reach for the time being, by URL. */
  readonly barred: ReadonlySet<string>;
  /** Whether some answers get lost on their way to the client. */
  readonly losesAnswers: boolean;
}

/**
 * A client that moves between nodes at random and takes turns in one session after the other. `sdk` is the package's own
 * client, which names the history it means; `counter` sends a turn number and nothing else, as the paper's does.
 */
export class RoamingClient {
  readonly #parts: ClientParts;
  readonly #stopping = new AbortController();
  #sessions = 0;

  constructor(parts: ClientParts) {
    this.#parts = parts;
  }

  /** Resolves once stopped, with no request under way. */
  async run(): Promise<void> {
    while (!this.#isStopping) {
      const sessionId = `${this.#parts.name}-${++this.#sessions}`;
      const isCounter = this.#parts.chance.oneIn(2);
      await (isCounter ? this.#counterSession(sessionId) : this.#sdkSession(sessionId));
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #sdkSession(sessionId: string): Promise<void> {
    const { chance, observations, nodeUrls, name } = this.#parts;
    const codes: string[] = [];
    const fail = (error: unknown) => {
      observations.failed(error);
      codes.push(codeOf(error));
    };
    const client = new DiscedgeClient({
      nodes: nodeUrls,
      userId: name,
      fetch: this.#fetch,
      onRetry: ({ error }) => fail(error),
    });
    const session = client.session({ sessionId, node: chance.of(nodeUrls), mode: chance.of(['tokenized', 'raw']) });
    const writeConcern = chance.oneIn(4) ? ('replicated' as const) : undefined;
    const options = { maxTokens: REPLY_TOKENS, ...(writeConcern && { sampling: { write_concern: writeConcern } }) };
    const turns = 1 + chance.below(SESSION_TURNS_MAX);
    for (let message = 1, conflicts = 0; session.turn < turns && !this.#isStopping; message++) {
      if (chance.oneIn(2)) session.moveTo(chance.of(nodeUrls));
      const nonce = `${sessionId}.${message}`;
      codes.length = 0;
      const reply = await this.#untilReply(session, nonce, { options, fail, codes });
      observations.operation(operation({ session: sessionId, nonce, reply: reply && acknowledged(reply), codes }));
      if (reply === undefined && this.#isLost(codes)) break;
      conflicts = codes.includes('turn_conflict') ? conflicts + 1 : 0;
      // An abandoned message has taken this turn on a branch that is not the main line: there is nothing to refresh from.
      if (conflicts > CONFLICTS_MAX) {
        observations.stuck++;
        break;
      }
      await this.#think();
    }
    await this.#leave(sessionId, session.node);
  }

  /** Sends a message until there is a reply, or the client changes its mind. */
  async #untilReply(
    session: Session,
    nonce: string,
    { options, fail, codes }: { options: object; fail: (error: unknown) => void; codes: readonly string[] },
  ): Promise<Reply | undefined> {
    const { chance, nodeUrls } = this.#parts;
    while (!this.#isStopping) {
      try {
        return await session.send(textOf(nonce), options);
      } catch (error) {
        fail(error);
        if (codeOf(error) === 'turn_conflict') {
          // An abandoned message has taken effect after all.
          await session.refresh().catch(fail);
          return undefined;
        }
        if (this.#isLost(codes) || chance.oneIn(6)) return undefined;
        await pause(AGAIN_MS);
        if (chance.oneIn(2)) session.moveTo(chance.of(nodeUrls));
      }
    }
    return undefined;
  }

  #isLost(codes: readonly string[]): boolean {
    return this.#parts.observations.wipes > 0 && codes.filter((code) => code === 'context_stale').length > STALE_MAX;
  }

  async #counterSession(sessionId: string): Promise<void> {
    const { chance, observations, nodeUrls, name } = this.#parts;
    const consistency = chance.oneIn(4) ? 'available' : 'strong';
    const mode = chance.of(['tokenized', 'raw'] as const);
    const turns = 1 + chance.below(SESSION_TURNS_MAX);
    let node = chance.of(nodeUrls);
    for (let turn = 0, message = 1; turn < turns && !this.#isStopping; message++) {
      const nonce = `${sessionId}.${message}`;
      const address = {
        sessionId,
        userId: name,
        turn: turn + 1,
        contextId: undefined,
        mode,
        model: undefined,
        system: undefined,
      };
      const body = turnRequest(textOf(nonce), address, {
        consistency,
        maxTokens: REPLY_TOKENS,
        maxWaitMs: chance.below(1_000),
      });
      const codes: string[] = [];
      let reply: WireReply | undefined;
      while (reply === undefined && !this.#isStopping) {
        if (chance.oneIn(2)) node = chance.of(nodeUrls);
        try {
          reply = await this.#post(node, body);
        } catch (error) {
          observations.failed(error);
          codes.push(codeOf(error));
          // The number is taken: under `available` by a turn that this client was not told of.
          if (codeOf(error) === 'turn_conflict' && consistency === 'available') break;
          if (this.#isLost(codes)) break;
          await pause(AGAIN_MS);
        }
      }
      const told = reply && acknowledgedWire(reply);
      observations.operation(operation({ session: sessionId, nonce, consistency, reply: told, codes }));
      if (told === undefined && this.#isLost(codes)) break;
      if (told !== undefined && chance.oneIn(8)) await this.#repeat(node, body, { session: sessionId, nonce });
      turn = told?.turn ?? turn + 1;
      await this.#think();
    }
    await this.#leave(sessionId, node);
  }

  /** A reply that was lost on its way to the application, say. */
  async #repeat(node: string, body: object, of: { session: string; nonce: string }): Promise<void> {
    const { observations } = this.#parts;
    try {
      const reply = await this.#post(node, body);
      observations.repetition({
        kind: 'repetition',
        ...of,
        reply: { ...acknowledgedWire(reply), replayed: reply.replayed },
      });
    } catch (error) {
      observations.failed(error);
    }
  }

  /** Some sessions are deleted by their user, at the node that was last used. */
  async #leave(sessionId: string, node: string): Promise<void> {
    const { chance, observations, name } = this.#parts;
    if (!chance.oneIn(6)) return;
    for (let isCertain = false; ; ) {
      observations.deletion({ kind: 'deletion', session: sessionId, isCertain, atMs: performance.now() });
      if (isCertain || this.#isStopping) return;
      try {
        const response = await this.#fetch(`${node}/sessions/${sessionId}?user_id=${name}`, { method: 'DELETE' });
        await response.arrayBuffer();
        isCertain = response.ok || response.status === 410;
        if (response.status === 404) return;
      } catch (error) {
        observations.failed(error);
      }
      await pause(AGAIN_MS);
    }
  }

  async #post(node: string, body: object): Promise<WireReply> {
    const response = await this.#fetch(`${node}/completion`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as WireReply & ErrorBody;
    if (response.ok) return answer;
    const code = answer.error?.type ?? `http_${response.status}`;
    throw new DiscedgeClientError(answer.error?.message ?? code, { code, status: response.status, node });
  }

  readonly #fetch = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const { barred, observations, chance } = this.#parts;
    const { origin, pathname } = new URL(String(input));
    if (barred.has(origin)) throw new TypeError(`${origin} is out of reach`);
    const signals = [AbortSignal.timeout(ATTEMPT_WAIT_MS), ...(init.signal == null ? [] : [init.signal])];
    const ended = observations.began({ node: origin, path: pathname });
    let outcome: { status: number | undefined; code: string | undefined } = { status: undefined, code: undefined };
    try {
      const response = await fetch(input, { ...init, signal: AbortSignal.any(signals) });
      const { status, headers } = response;
      // The whole answer, so that it is known here whether it came.
      const text = await response.text();
      outcome = { status, code: response.ok ? undefined : (JSON.parse(text) as ErrorBody).error?.type };
      // Out of coverage when it came: the client does not know what became of its turn.
      if (this.#parts.losesAnswers && chance.oneIn(ANSWERS_PER_LOSS)) throw new TypeError('the answer was lost');
      return new Response(text, { status, headers });
    } catch (error) {
      if (outcome.status === undefined) outcome.code = codeOf(error);
      throw error;
    } finally {
      ended(outcome);
    }
  };

  async #think(): Promise<void> {
    await pause(this.#parts.chance.below(THINK_MS_MAX));
  }
}

/** What the scripted LLM Service answers with all messages that it has read. */
export function textOf(nonce: string): string {
  return `Recall [${nonce}]`;
}

/** Nonces in a text, in order. */
export function noncesIn(text: string): string[] {
  return [...text.matchAll(/\[([\w.-]+)\]/g)].map(([, nonce]) => nonce as string);
}

interface ErrorBody {
  readonly error?: { readonly type?: string; readonly message?: string };
}

interface WireReply {
  readonly node: string;
  readonly turn: number;
  readonly context_id: string;
  readonly based_on_turn: number;
  readonly content: string;
  readonly replayed: boolean;
  readonly write_concern?: string;
}

export function acknowledgedWire(wire: WireReply): AcknowledgedReply {
  const { node, turn, context_id, based_on_turn, content, write_concern } = wire;
  return {
    node,
    turn,
    contextId: context_id,
    atMs: performance.now(),
    isReplicated: write_concern === 'replicated',
    basedOnTurn: based_on_turn,
    seen: noncesIn(content),
    text: content,
  };
}

function acknowledged({ wire, text }: Reply): AcknowledgedReply {
  return { ...acknowledgedWire(wire as unknown as WireReply), seen: noncesIn(text), text };
}

function operation({
  session,
  nonce,
  consistency = 'strong',
  reply,
  codes,
}: {
  session: string;
  nonce: string;
  consistency?: Operation['consistency'];
  reply: AcknowledgedReply | undefined;
  codes: readonly string[];
}): Operation {
  const isRefused = codes.length > 0 && codes.every((code) => REFUSALS.has(code));
  const outcome = reply !== undefined ? 'acknowledged' : isRefused ? 'refused' : 'unknown';
  return { kind: 'turn', session, nonce, consistency, outcome, isTwinned: codes.length > 0, reply };
}

function pause(waitMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, waitMs));
}

import { DiscedgeClientError, errorOfEvent } from './errors.ts';
import { readEvents } from './event-stream.ts';
import type { NodeRing } from './node-ring.ts';
import { parseReply, type Reply } from './reply.ts';
import { ReplyStream, type ReplyWriter } from './reply-stream.ts';
import { withRetries } from './retry.ts';
import { SessionDirectory, type StoredTurn } from './session-directory.ts';
import type { Transport } from './transport.ts';
import { type TurnOptions, turnRequest } from './turn-request.ts';

/** What is needed to go on with a session later, elsewhere; JSON. */
export interface SessionState {
  readonly sessionId: string;
  /** Turns acknowledged so far. */
  readonly turn: number;
  /** Of the last acknowledged turn. */
  readonly contextId?: string | undefined;
  /** URL of the node the session is with. */
  readonly node?: string | undefined;
}

export interface SessionOptions extends Partial<SessionState> {
  /** Context mode; the node's default when left out. */
  readonly mode?: 'tokenized' | 'raw' | undefined;
  /** System message of a new session. */
  readonly system?: string | undefined;
  /** For every turn, unless the turn says otherwise. */
  readonly turnOptions?: TurnOptions | undefined;
}

export interface SendOptions extends TurnOptions {
  /** Aborting cancels the turn. */
  readonly signal?: AbortSignal | undefined;
}

type TurnBody = Readonly<Record<string, unknown>>;

/**
 * One conversation. Keeps the turn counter (paper §3.4): a turn counts once a node has acknowledged it, and is re-sent
 * under the same number until then, so that it takes effect once however often the network fails.
 */
export class Session {
  readonly sessionId: string;
  readonly #transport: Transport;
  readonly #ring: NodeRing;
  readonly #directory: SessionDirectory;
  readonly #userId: string | undefined;
  readonly #options: SessionOptions;
  #turn: number;
  #contextId: string | undefined;
  #underWay = false;
  /** A turn of which it is not known whether a node stored it. */
  #unsettled: TurnBody | undefined;
  #cancelling: Promise<void> | undefined;

  constructor(
    parts: { readonly transport: Transport; readonly ring: NodeRing; readonly userId: string | undefined },
    options: SessionOptions,
  ) {
    if (options.turn !== undefined && options.turn > 0 && options.sessionId === undefined) {
      throw new DiscedgeClientError('a session that has turns needs its sessionId', { code: 'invalid_use' });
    }
    this.#transport = parts.transport;
    this.#ring = parts.ring;
    this.#userId = parts.userId;
    this.#directory = new SessionDirectory(parts);
    this.#options = options;
    // Chosen here, not by the node, so that turn 1 can be re-sent too.
    this.sessionId = options.sessionId ?? newSessionId();
    this.#turn = options.turn ?? 0;
    this.#contextId = options.contextId;
  }

  /** Turns acknowledged so far. */
  get turn(): number {
    return this.#turn;
  }

  get contextId(): string | undefined {
    return this.#contextId;
  }

  /** URL of the node that gets the next turn. */
  get node(): string {
    return this.#ring.current;
  }

  /** Give it to `client.session()` to go on later. */
  get state(): SessionState {
    return { sessionId: this.sessionId, turn: this.#turn, contextId: this.#contextId, node: this.node };
  }

  /** Roams: the next turn goes to this node. */
  moveTo(url: string): void {
    this.#ring.moveTo(url);
  }

  /**
   * Sends the next turn and waits for its reply. Throws DiscedgeClientError, or the signal's reason. After an error
   * the same text may simply be sent again; it is the same turn.
   */
  send(text: string, options: SendOptions = {}): Promise<Reply> {
    return this.#run(text, options, undefined);
  }

  /** As `send`, with the text as it is written. */
  stream(text: string, options: SendOptions = {}): ReplyStream {
    const leaving = new AbortController();
    const signal = options.signal === undefined ? leaving.signal : AbortSignal.any([leaving.signal, options.signal]);
    return new ReplyStream(
      (writer) => this.#run(text, { ...options, signal }, writer),
      () => leaving.abort(new DiscedgeClientError('the reply was not read to its end', { code: 'reply_abandoned' })),
    );
  }

  /** Ends the turn under way at its node; nothing of it is stored. False when there was none. */
  cancel(): Promise<boolean> {
    return this.#directory.cancel(this.sessionId);
  }

  /** The turns so far, as the node has stored them, oldest first. Throws `session_not_found` before the first. */
  async history(): Promise<readonly StoredTurn[]> {
    return (await this.#directory.show(this.sessionId)).turns;
  }

  /** Takes over turn and context id from the node's main line, after the session was used elsewhere. */
  async refresh(): Promise<void> {
    const last = (await this.history()).at(-1);
    this.#turn = last?.turn ?? 0;
    this.#contextId = last?.contextId;
  }

  async #run(text: string, options: SendOptions, writer: ReplyWriter | undefined): Promise<Reply> {
    if (this.#underWay) {
      throw new DiscedgeClientError(`turn ${this.#turn + 1} of this session is still under way`, {
        code: 'session_in_use',
      });
    }
    this.#underWay = true;
    const { signal } = options;
    try {
      signal?.throwIfAborted();
      await this.#settle(text, options);
      const body = this.#bodyOf(text, options);
      this.#unsettled = body;
      const reply = await withRetries(this.#ring, this.#transport.policy, signal, (node) =>
        writer === undefined ? this.#sendOnce(node, body, signal) : this.#streamOnce(node, body, { signal, writer }),
      );
      this.#turn = reply.turn;
      this.#contextId = reply.contextId;
      this.#unsettled = undefined;
      return reply;
    } catch (error) {
      if (isRefusal(error)) this.#unsettled = undefined;
      if (signal?.aborted && this.#unsettled !== undefined) this.#cancelling = this.#cancelUnsettled();
      throw error;
    } finally {
      this.#underWay = false;
    }
  }

  async #cancelUnsettled(): Promise<void> {
    try {
      if (await this.cancel()) this.#unsettled = undefined;
    } catch {
      // The next turn finds out.
    }
  }

  #bodyOf(text: string, options: SendOptions): TurnBody {
    const { mode, system, turnOptions } = this.#options;
    const address = {
      sessionId: this.sessionId,
      userId: this.#userId,
      turn: this.#turn + 1,
      contextId: this.#contextId,
      mode,
      system: this.#turn === 0 ? system : undefined,
    };
    const { signal: _, ...own } = options;
    return turnRequest(text, address, { ...turnOptions, ...own });
  }

  /**
   * Finds out about a turn that may or may not have been stored, before another message takes its number. The same
   * message needs no finding out: the node replays it.
   */
  async #settle(text: string, options: SendOptions): Promise<void> {
    if (this.#unsettled === undefined) return;
    await this.#cancelling;
    this.#cancelling = undefined;
    if (this.#unsettled === undefined) return;
    if (JSON.stringify(this.#bodyOf(text, options)) === JSON.stringify(this.#unsettled)) return;
    try {
      if (!(await this.cancel())) await this.refresh();
    } catch (error) {
      if (!(error instanceof DiscedgeClientError) || error.status !== 404) throw error;
    }
    this.#unsettled = undefined;
  }

  async #sendOnce(node: string, body: TurnBody, signal: AbortSignal | undefined): Promise<Reply> {
    const wire = await this.#transport.sendForJson(node, { method: 'POST', path: '/completion', body, signal });
    return requireReply(wire, node);
  }

  async #streamOnce(
    node: string,
    body: TurnBody,
    { signal, writer }: { signal: AbortSignal | undefined; writer: ReplyWriter },
  ): Promise<Reply> {
    const streamBody = { ...body, stream: true };
    const response = await this.#transport.send(node, {
      method: 'POST',
      path: '/completion',
      body: streamBody,
      signal,
    });
    writer.restart();
    let text = '';
    try {
      for await (const event of readEvents(response, node)) {
        const error = errorOfEvent(event, node);
        if (error !== undefined) throw error;
        const { content, stop } = event as { content?: unknown; stop?: unknown };
        if (typeof content === 'string') {
          text += content;
          writer.write(content);
        }
        if (stop === true) return requireReply(event, node, text);
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
    throw new DiscedgeClientError(`${node} ended a reply before its last event`, {
      code: 'reply_cut',
      retry: true,
      node,
    });
  }
}

function requireReply(wire: unknown, node: string, text?: string): Reply {
  const reply = parseReply(wire, text);
  if (reply !== undefined) return reply;
  throw new DiscedgeClientError(`${node} answered with something that is not a DisCEdge reply: is it an edge node?`, {
    code: 'reply_malformed',
    node,
  });
}

/** Whether a node looked at the turn and refused it, so that it is certain that nothing was stored. */
function isRefusal(error: unknown): boolean {
  const status = error instanceof DiscedgeClientError ? error.status : undefined;
  return status !== undefined && status >= 400 && status < 500;
}

/** Random, like a version 4 UUID; `crypto.randomUUID` is missing in browsers on plain http. */
function newSessionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

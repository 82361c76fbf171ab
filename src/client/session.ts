import { DiscedgeClientError } from './errors.ts';
import { followSignal } from './follow-signal.ts';
import { NodeRing } from './node-ring.ts';
import type { Reply } from './reply.ts';
import { ReplyStream, type ReplyWriter } from './reply-stream.ts';
import { withRetries } from './retry.ts';
import { sendTurn, type TurnBody } from './send-turn.ts';
import { askAll, SessionAtNodes } from './session-at-nodes.ts';
import { type SeenOptions, SessionDirectory } from './session-directory.ts';
import { newSessionId, requireSessionId } from './session-id.ts';
import type { Refreshed, RefreshOptions, SendOptions, SessionOptions, SessionState } from './session-options.ts';
import { lineThrough, type StoredTurn, type Wire } from './stored-session.ts';
import type { Transport } from './transport.ts';
import { isSameTurn, turnAgain, turnRequest } from './turn-request.ts';
import { UnsettledTurn } from './unsettled-turn.ts';

/**
 * One conversation. Keeps the turn counter (paper §3.4): a turn counts once a node has acknowledged it, and is re-sent
 * under the same number until then, so that it takes effect once however often the network fails.
 */
export class Session {
  readonly sessionId: string;
  readonly #transport: Transport;
  readonly #ring: NodeRing;
  readonly #directory: SessionDirectory;
  readonly #atNodes: SessionAtNodes;
  readonly #userId: string | undefined;
  readonly #options: SessionOptions;
  #turn: number;
  #contextId: string | undefined;
  #model: string | undefined;
  #underWay = false;
  /** The turn under way, or the last one when it is not known whether a node stored it. */
  #unsettled: UnsettledTurn | undefined;
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
    this.#directory = new SessionDirectory({ ...parts, model: options.model });
    this.#options = options;
    // Chosen here, not by the node, so that turn 1 can be re-sent too.
    this.sessionId = options.sessionId === undefined ? newSessionId() : requireSessionId(options.sessionId);
    this.#turn = options.turn ?? 0;
    this.#contextId = options.contextId;
    this.#model = options.model;
    const { transport, userId } = parts;
    this.#atNodes = new SessionAtNodes({ transport, userId, sessionId: this.sessionId }, () => this.state);
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
    return {
      sessionId: this.sessionId,
      turn: this.#turn,
      contextId: this.#contextId,
      node: this.node,
      ...(this.#model !== undefined && { model: this.#model }),
    };
  }

  /** Roams: the next turn goes to this node. */
  moveTo(url: string): void {
    this.#ring.moveTo(url);
  }

  /**
   * Sends the next turn and waits for its reply. Throws DiscedgeClientError, or the signal's reason. After an error
   * the same text may simply be sent again; it is the same turn, with the length and sampling that it was first sent with,
   * whatever the options say now. How it is answered (consistency, waits, lifetime, overflow) may be said anew.
   */
  send(text: string, options: SendOptions = {}): Promise<Reply> {
    return this.#runFollowing(text, options, new AbortController(), undefined);
  }

  /** As `send`, with the text as it is written. */
  stream(text: string, options: SendOptions = {}): ReplyStream {
    const leaving = new AbortController();
    return new ReplyStream(
      (writer) => this.#runFollowing(text, options, leaving, writer),
      () => leaving.abort(new DiscedgeClientError('the reply was not read to its end', { code: 'reply_abandoned' })),
    );
  }

  /**
   * Ends the turn at every node that may be running it; nothing of it is stored where one was. False when none
   * of those that answered was. Throws when none answered.
   */
  async cancel(): Promise<boolean> {
    const turn = this.#unsettled;
    const nodes = turn === undefined || turn.nodes.length === 0 ? [this.node] : turn.nodes;
    const stopped = await askAll(nodes, async (node) => {
      const cancelled = await (turn === undefined ? this.#atNodes.cancel(node) : this.#atNodes.stop(node, turn));
      if (cancelled) turn?.cancelledAt(node);
      return cancelled;
    });
    return stopped.includes(true);
  }

  /**
   * The turns so far, as the node has stored them, oldest first: of the branch that this session is on, where there are
   * several. What was acknowledged to this session is among them, at whichever node it is now; throws `context_stale` where
   * it does not come in time, and `session_not_found` before the first turn.
   */
  async history(): Promise<readonly StoredTurn[]> {
    return lineThrough(await this.#directory.show(this.sessionId, this.#seen), this.#contextId);
  }

  /** Everything that is stored of it, exact token ids included. Throws what `history` throws. */
  async export(): Promise<Wire> {
    return this.#directory.export(this.sessionId, this.#seen);
  }

  /** Deletes it for good, on every node. Throws what `history` throws, and `session_deleted` when it was deleted before. */
  async delete(): Promise<void> {
    await this.#directory.delete(this.sessionId, this.#seen);
  }

  /**
   * A session of its own that begins with this one's turns up to `turn`, all of them when left out. Throws `invalid_use`
   * before the first turn, and what the node throws.
   */
  async fork({
    turn = this.#turn,
    ttlSeconds,
  }: {
    readonly turn?: number;
    readonly ttlSeconds?: number;
  } = {}): Promise<Session> {
    if (this.#turn === 0) {
      throw new DiscedgeClientError('there is nothing to fork before the first turn', { code: 'invalid_use' });
    }
    const contextId = this.#contextId;
    const forked = await this.#directory.fork(this.sessionId, { turn, contextId, ttlSeconds });
    const { mode, turnOptions } = this.#options;
    const ring = new NodeRing(this.#ring.urls, this.node);
    const parts = { transport: this.#transport, ring, userId: this.#userId };
    return new Session(parts, { ...forked, mode, model: this.#model, turnOptions });
  }

  /**
   * Takes over turn and context id of what the node holds, after the session was used elsewhere: of the line that goes on
   * from what was acknowledged. Throws `node_behind`, and changes nothing, when there is none, unless `mayGoBack`: then
   * the main line counts. Before the first turn, the model that holds the session becomes this session's.
   */
  async refresh({ mayGoBack = false }: RefreshOptions = {}): Promise<Refreshed> {
    const stored = await this.#directory.show(this.sessionId);
    const turns = lineThrough(stored, this.#contextId);
    if (this.#turn === 0) this.#model ??= stored.model;
    if (this.#goForward(turns)) return { wentBack: false };
    const last = turns.at(-1);
    if (!mayGoBack) {
      throw new DiscedgeClientError(
        `what the node holds of this session, ${last?.turn ?? 0} turns, lacks turn ${this.#turn}, which was acknowledged; try again later, or at another node`,
        { code: 'node_behind', retry: true, node: this.node },
      );
    }
    this.#turn = last?.turn ?? 0;
    this.#contextId = last?.contextId;
    return { wentBack: true };
  }

  /** This session's own writes, which whatever is asked of a node must see. */
  get #seen(): SeenOptions {
    if (this.#turn === 0) return {};
    const { maxWaitMs } = this.#options.turnOptions ?? {};
    return { turn: this.#turn, contextId: this.#contextId, maxWaitMs };
  }

  /** Takes over a line that holds all that was acknowledged; false, and nothing changes, when it does not. */
  #goForward(turns: readonly StoredTurn[]): boolean {
    const own = turns.find(({ turn }) => turn === this.#turn);
    const holdsOwn = own !== undefined && (this.#contextId === undefined || own.contextId === this.#contextId);
    if (this.#turn > 0 && !holdsOwn) return false;
    const last = turns.at(-1);
    this.#turn = last?.turn ?? 0;
    this.#contextId = last?.contextId;
    return true;
  }

  async #runFollowing(
    text: string,
    options: SendOptions,
    own: AbortController,
    writer: ReplyWriter | undefined,
  ): Promise<Reply> {
    const unfollow = followSignal(options.signal, own);
    try {
      return await this.#run(text, { ...options, signal: own.signal }, writer);
    } finally {
      unfollow();
    }
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
      const asked = this.#bodyOf(text, options);
      // The same turn, sent again, may still run where it was sent before.
      const turn = this.#unsettled ?? new UnsettledTurn(asked);
      const body = turnAgain(turn.body, asked);
      this.#unsettled = turn;
      const reply = await withRetries(this.#ring, this.#transport.policy, signal, async (node) => {
        turn.sentTo(node);
        try {
          return await sendTurn(this.#transport, node, body, { signal, writer });
        } catch (error) {
          turn.failedAt(node, error);
          throw error;
        }
      });
      this.#turn = reply.turn;
      this.#contextId = reply.contextId;
      this.#unsettled = undefined;
      return reply;
    } catch (error) {
      this.#forgetSettled();
      if (signal?.aborted && this.#unsettled !== undefined) this.#cancelling = this.#cancelUnsettled();
      throw error;
    } finally {
      this.#underWay = false;
    }
  }

  async #cancelUnsettled(): Promise<void> {
    try {
      await this.cancel();
      this.#forgetSettled();
    } catch {
      // The next turn finds out.
    }
  }

  #forgetSettled(): void {
    if (this.#unsettled?.nodes.length === 0) this.#unsettled = undefined;
  }

  #bodyOf(text: string, options: SendOptions): TurnBody {
    const { mode, system, turnOptions } = this.#options;
    const address = {
      sessionId: this.sessionId,
      userId: this.#userId,
      turn: this.#turn + 1,
      contextId: this.#contextId,
      mode,
      model: this.#model,
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
    if (isSameTurn(this.#bodyOf(text, options), this.#unsettled.body)) return;
    const turn = this.#unsettled;
    // The current node too: the turn may have come to it from one that is gone.
    const lines = await askAll([...new Set([...turn.nodes, this.node])], (node) =>
      this.#atNodes.lineWithout(node, turn),
    );
    // The longest line that goes on from what was acknowledged; a node that knows less changes nothing.
    for (const line of lines) this.#goForward(line);
    this.#unsettled = undefined;
  }
}

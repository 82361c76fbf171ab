import { DiscedgeClientError } from './errors.ts';
import { followSignal } from './follow-signal.ts';
import { NodeRing } from './nodes/node-ring.ts';
import { type SavedSession, savedText } from './saved-session.ts';
import { SessionAtNodes } from './session-at-nodes.ts';
import { type SeenOptions, SessionDirectory } from './session-directory.ts';
import { newSessionId, requireSessionId } from './session-id.ts';
import type {
  Coming,
  Refreshed,
  RefreshOptions,
  SendOptions,
  SessionOptions,
  SessionState,
} from './session-options.ts';
import { SessionPlace } from './session-place.ts';
import { lineThrough, type StoredTurn, type Wire } from './stored-session.ts';
import type { Transport } from './transport.ts';
import { RememberedTurns } from './turn/remembered-turns.ts';
import type { Reply } from './turn/reply.ts';
import { ReplyStream, type ReplyWriter } from './turn/reply-stream.ts';
import { TurnTaking } from './turn/turn-taking.ts';
import { UnsettledTurn } from './turn/unsettled-turn.ts';

export interface SessionParts {
  readonly transport: Transport;
  readonly ring: NodeRing;
  readonly userId: string | undefined;
  /** What a string said beside the session's state. */
  readonly saved?: Pick<SavedSession, 'remembered' | 'unsettled'> | undefined;
}

/**
 * One conversation, of which the nodes keep the context. Keeps the turn counter (paper §3.4), and goes to whichever node its
 * user is near.
 */
export class Session {
  readonly sessionId: string;
  readonly #transport: Transport;
  readonly #ring: NodeRing;
  readonly #directory: SessionDirectory;
  readonly #userId: string | undefined;
  readonly #options: SessionOptions;
  readonly #place: SessionPlace;
  readonly #remembered: RememberedTurns;
  readonly #turns: TurnTaking;
  readonly #atNodes: SessionAtNodes;
  #model: string | undefined;

  constructor(parts: SessionParts, options: SessionOptions) {
    if (options.turn !== undefined && options.turn > 0 && options.sessionId === undefined) {
      throw new DiscedgeClientError('a session that has turns needs its sessionId', { code: 'invalid_use' });
    }
    const { transport, ring, userId, saved } = parts;
    this.#transport = transport;
    this.#ring = ring;
    this.#userId = userId;
    this.#directory = new SessionDirectory({ transport, ring, userId, model: options.model });
    this.#options = options;
    // Chosen here, not by the node, so that turn 1 can be re-sent too.
    this.sessionId = options.sessionId === undefined ? newSessionId() : requireSessionId(options.sessionId);
    this.#place = new SessionPlace(options);
    this.#model = options.model;
    this.#remembered = new RememberedTurns(saved?.remembered);
    const { sessionId } = this;
    const atNodes = new SessionAtNodes({ transport, userId, sessionId }, () => this.state);
    this.#atNodes = atNodes;
    const [place, remembered] = [this.#place, this.#remembered];
    this.#turns = new TurnTaking(
      { transport, ring, atNodes, sessionId, userId, model: () => this.#model, options, place, remembered },
      saved?.unsettled && UnsettledTurn.restored(saved.unsettled),
    );
  }

  /** Turns acknowledged so far. */
  get turn(): number {
    return this.#place.turn;
  }

  get contextId(): string | undefined {
    return this.#place.contextId;
  }

  /** URL of the node that gets the next turn. */
  get node(): string {
    return this.#ring.current;
  }

  /** Give it to `client.session()` to go on later. */
  get state(): SessionState {
    return {
      sessionId: this.sessionId,
      turn: this.turn,
      contextId: this.contextId,
      node: this.node,
      ...(this.#model !== undefined && { model: this.#model }),
    };
  }

  /**
   * All that is needed to go on with it in another process, a turn included of which it is not known whether it was stored:
   * give it to `client.restore()`. Holds the last turns in words where they are kept for repair.
   */
  serialize(): string {
    const { mode, system } = this.#options;
    return savedText({
      state: this.state,
      userId: this.#userId,
      mode,
      system: this.turn === 0 ? system : undefined,
      remembered: this.#remembered.all,
      unsettled: this.#turns.unsettled?.saved,
    });
  }

  /** Roams: the next turn goes to this node. */
  moveTo(url: string): void {
    this.#ring.moveTo(url);
  }

  /**
   * Says to a node that the next turn may come there, so that it can evaluate the context before. Cheap, and changes nothing: the
   * turn goes where the session is moved. Throws where the node cannot be reached.
   */
  coming(url: string): Promise<Coming> {
    return this.#atNodes.coming(url);
  }

  /**
   * Sends the next turn and waits for its reply. Throws DiscedgeClientError, or the signal's reason. After an error
   * the same text may simply be sent again; it is the same turn, with the length and sampling that it was first sent with,
   * whatever the options say now. How it is answered (consistency, waits, lifetime, overflow) may be said anew.
   */
  send(text: string, options: SendOptions = {}): Promise<Reply> {
    return this.#take(text, options, new AbortController(), undefined);
  }

  /** As `send`, with the text as it is written. */
  stream(text: string, options: SendOptions = {}): ReplyStream {
    const leaving = new AbortController();
    return new ReplyStream(
      (writer) => this.#take(text, options, leaving, writer),
      () => leaving.abort(new DiscedgeClientError('the reply was not read to its end', { code: 'reply_abandoned' })),
    );
  }

  /**
   * Ends the turn at every node that may be running it; nothing of it is stored where one was. False when none
   * of those that answered was. Throws when none answered.
   */
  cancel(): Promise<boolean> {
    return this.#turns.cancel();
  }

  /**
   * The turns so far, as the node has stored them, oldest first: of the branch that this session is on, where there are
   * several. What was acknowledged to this session is among them, at whichever node it is now; throws `context_stale` where
   * it does not come in time, and `session_not_found` before the first turn.
   */
  async history(): Promise<readonly StoredTurn[]> {
    return lineThrough(await this.#directory.show(this.sessionId, this.#seen), this.contextId);
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
    turn = this.turn,
    ttlSeconds,
  }: {
    readonly turn?: number;
    readonly ttlSeconds?: number;
  } = {}): Promise<Session> {
    if (this.turn === 0) {
      throw new DiscedgeClientError('there is nothing to fork before the first turn', { code: 'invalid_use' });
    }
    const { contextId } = this;
    const forked = await this.#directory.fork(this.sessionId, { turn, contextId, ttlSeconds });
    const { mode, turnOptions, repair } = this.#options;
    const ring = new NodeRing(this.#ring.urls, this.node);
    const parts = { transport: this.#transport, ring, userId: this.#userId };
    return new Session(parts, { ...forked, mode, model: this.#model, turnOptions, repair });
  }

  /**
   * Takes over turn and context id of what the node holds, after the session was used elsewhere: of the line that goes on
   * from what was acknowledged. Throws `node_behind`, and changes nothing, when there is none, unless `mayGoBack`: then
   * the main line counts. Before the first turn, the model that holds the session becomes this session's.
   */
  async refresh({ mayGoBack = false }: RefreshOptions = {}): Promise<Refreshed> {
    const stored = await this.#directory.show(this.sessionId);
    const turns = lineThrough(stored, this.contextId);
    if (this.turn === 0) this.#model ??= stored.model;
    const wentBack = !this.#place.goForward(turns);
    if (wentBack && !mayGoBack) {
      const held = turns.at(-1)?.turn ?? 0;
      throw new DiscedgeClientError(
        `what the node holds of this session, ${held} turns, lacks turn ${this.turn}, which was acknowledged; try again later, or at another node`,
        { code: 'node_behind', retry: true, node: this.node },
      );
    }
    if (wentBack) this.#place.goTo(turns);
    if (this.#options.repair !== undefined) this.#remembered.read(turns);
    return { wentBack };
  }

  get #seen(): SeenOptions {
    return this.#place.seen(this.#options.turnOptions?.maxWaitMs);
  }

  async #take(
    text: string,
    options: SendOptions,
    own: AbortController,
    writer: ReplyWriter | undefined,
  ): Promise<Reply> {
    const unfollow = followSignal(options.signal, own);
    try {
      return await this.#turns.take(text, { ...options, signal: own.signal }, writer);
    } finally {
      unfollow();
    }
  }
}

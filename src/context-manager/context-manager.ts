import { keygroupOf } from '../domain/cluster/model-identity.ts';
import { DiscedgeError } from '../domain/errors.ts';
import {
  type KeygroupId,
  type SessionId,
  type SessionKey,
  sessionKeyText,
  type UserId,
} from '../domain/identifiers.ts';
import type { ContextMode, StoredMode } from '../domain/record/turn-record.ts';
import type { TokenSequence } from '../domain/token-sequence.ts';
import type { ChatTemplate } from '../llm-service/chat-template.ts';
import type { Embeddings, LlmService } from '../llm-service/llm-service.ts';
import type { LayerSource } from './layers/layer.ts';
import { clientSidePrompt } from './modes/client-side.ts';
import { rawMode } from './modes/raw.ts';
import { tokenizedMode } from './modes/tokenized.ts';
import type { NodeResources } from './node-resources.ts';
import { Retrieval } from './retrieval/retrieval.ts';
import { Answers } from './sessions/answers.ts';
import { Conversations } from './sessions/conversations.ts';
import { type Fork, type ForkRequest, Forks } from './sessions/forks.ts';
import { Imports } from './sessions/imports.ts';
import { type Move, type MoveRequest, Moves } from './sessions/moves.ts';
import { deleted } from './sessions/seen-session.ts';
import { Sessions } from './sessions/sessions.ts';
import { Summaries } from './summaries/summaries.ts';
import { type AddedItems, AddedItemsWriter, type AddRequest } from './turn/added-items.ts';
import { Answering } from './turn/answering.ts';
import { FairPlaces } from './turn/fair-places.ts';
import { requireTools } from './turn/reply/asked-form.ts';
import { ReplyReading } from './turn/reply/reply-reader.ts';
import { generatedReply } from './turn/reply/turn-reply.ts';
import { goesOn, modeOf } from './turn/request-rules.ts';
import { ownerOf, type TurnOwner } from './turn/running-turns.ts';
import type { ToldTurnParts } from './turn/told-turn.ts';
import type {
  DraftedTurn,
  EvaluatedTurn,
  ForwardedReply,
  ForwardRequest,
  TurnObserver,
  TurnReply,
  TurnRequest,
} from './turn/turn.ts';
import { TurnDrafts } from './turn/turn-drafts.ts';
import { TurnGate } from './turn/turn-gate.ts';
import { TurnTaking } from './turn/turn-taking.ts';
import { LOCAL } from './turn/write-concerns.ts';
import type { BuildPrompt } from './warmer/next-prompt.ts';
import { startWarmer } from './warmer/start-warmer.ts';
import type { Warmer } from './warmer/warmer.ts';

export interface ContextManagerParts {
  readonly llm: LlmService;
  readonly template: ChatTemplate;
  /** How a context is kept where a request does not say. */
  readonly defaultMode: ContextMode;
  /** What all Context Managers of the node share. */
  readonly node: NodeResources;
  /** What stands before every conversation with this model; left out: nothing. */
  readonly layers?: LayerSource | undefined;
}

/**
 * The middleware between client and LLM Service (paper §3.1). `takeTurn` is one turn in the order of DESIGN §3:
 * queue, replay check, turn gate, build, overflow, generate, commit; then, if asked for, a peer has it too.
 */
export class ContextManager {
  readonly keygroup: KeygroupId;
  /** How a context is kept where a request does not say. */
  readonly defaultMode: ContextMode;
  readonly sessions: Sessions;
  readonly answers: Answers;
  readonly conversations: Conversations;
  readonly imports: Imports;
  /** `undefined` where nothing is warmed. */
  readonly warmer: Warmer | undefined;
  readonly #parts: ContextManagerParts;
  readonly #node: NodeResources;
  readonly #taking: TurnTaking;
  readonly #answering: Answering;
  readonly #drafts: TurnDrafts;
  readonly #forks: Forks;
  readonly #moves: Moves;
  readonly #items: AddedItemsWriter;

  constructor(parts: ContextManagerParts) {
    const { llm, template, node } = parts;
    this.#parts = parts;
    this.#node = node;
    this.keygroup = keygroupOf(llm.description.identity);
    node.keygroups.add(this.keygroup);
    const reading = new ReplyReading(llm, template);
    const modes = {
      tokenized: tokenizedMode(llm, template, reading),
      raw: rawMode(llm, template, reading),
    };
    this.defaultMode = parts.defaultMode;
    const exact: StoredMode = template.whyUnusable === undefined ? 'tokenized' : 'raw';
    const openingMode = parts.defaultMode === 'client-side' ? exact : parts.defaultMode;
    const gate = new TurnGate(node.replica);
    this.sessions = new Sessions({ keygroup: this.keygroup, node, modes });
    this.answers = new Answers({ keygroup: this.keygroup, node, modes });
    this.conversations = new Conversations({ keygroup: this.keygroup, node });
    this.imports = new Imports({ keygroup: this.keygroup, node, modes });
    this.#forks = new Forks({ keygroup: this.keygroup, node });
    const told: ToldTurnParts = { llm, node, modeOf: (request, base) => modes[modeOf(request, base) ?? openingMode] };
    // A template that takes no system message has no place for them.
    const layers = template.takesSystem ? parts.layers : undefined;
    const places = new FairPlaces(llm.parallel ?? Number.POSITIVE_INFINITY);
    this.#answering = new Answering({ llm, template, node, reading, modes, openingMode, layers, places });
    const retrieval = new Retrieval({ llm, node, modes });
    const summaries = new Summaries({ llm, node, answering: this.#answering, retrieval });
    this.#drafts = new TurnDrafts({ node, gate, answering: this.#answering, summaries });
    this.#items = new AddedItemsWriter({
      ...{ keygroup: this.keygroup, node, gate, template },
      requireRoom: (added, pass) => this.#drafts.requireRoom(added, pass),
    });
    const add = (request: AddRequest, gone: AbortSignal) => this.add(request, gone);
    this.#moves = new Moves({ ...told, keygroup: this.keygroup, template, add });
    const build: BuildPrompt = (request, place) => this.#answering.build(request, place);
    this.warmer = startWarmer(llm, this.keygroup, { node, build });
    const { warmer } = this;
    this.#taking = new TurnTaking({ node, modes, gate, answering: this.#answering, summaries, told, warmer });
  }

  /**
   * Answers one turn. When it resolves, the turn record is durable on this node. Throws DiscedgeError; the same request may
   * then be sent again. Nothing was stored, unless it is the store that failed: should it have kept the record all the
   * same, the request sent again is a replay.
   */
  takeTurn(request: TurnRequest, observer: TurnObserver): Promise<TurnReply> {
    const take = async () => {
      this.#node.writeConcerns.require(request.writeConcern);
      const key = this.#keyOf(request);
      const keyText = sessionKeyText(key);
      return this.#node.running.run(keyText, ownerOf(observer, key.userId), async (turn) => {
        turn.stopWith(observer.stop);
        const { answered, reply } = await this.#node.queue.run(keyText, turn.stopping, () =>
          this.#taking.take({ key, request, observer, turn }),
        );
        const { writeConcern: asked, replicatedWaitMs: waitMs } = request;
        turn.startSharing();
        const reached = await this.#node.writeConcerns.reach(answered, { asked, waitMs }, turn.sharing);
        return reached === LOCAL ? reply : { ...reply, ...reached };
      });
    };
    return this.#node.metrics.observe(this.#model, take, (reply) => reply);
  }

  /**
   * Answers a prompt whose context its client keeps, and stores nothing: there is no session to queue for, to wait for or to
   * commit to. Throws DiscedgeError.
   */
  forward(request: ForwardRequest, observer: TurnObserver): Promise<ForwardedReply> {
    const forward = () =>
      this.#node.running.run(undefined, ownerOf(observer, request.userId), async (turn) => {
        requireTools(request);
        const prompt = await clientSidePrompt(request, this.#parts);
        // Beside the reply: it neither comes later for it nor fails with it.
        const text = request.promptText ? prompt.text() : undefined;
        const [generated, promptText] = await Promise.all([
          this.#answering.generate(
            { ids: prompt.ids, tools: request.preamble?.tools ?? [] },
            undefined,
            request,
            observer,
            turn,
          ),
          text,
        ]);
        const reasoningTokens = await this.#answering.reasoningTokens(generated);
        return { ...generatedReply(generated), promptText, reasoningTokens };
      });
    return this.#node.metrics.observe(this.#model, forward, () => ({ mode: 'client-side', replayed: false }));
  }

  /**
   * Evaluates what a turn would have the model read first into the KV cache, so that the turn, when it comes, finds it there; see
   * {@link TurnDrafts.evaluate}. The turn is not taken, and nothing is stored.
   */
  evaluate(request: TurnRequest, observer: TurnObserver): Promise<EvaluatedTurn> {
    return this.#drafts.evaluate(this.#keyOf(request), request, observer);
  }

  /** Answers a turn that is not taken; see {@link TurnDrafts.draft}. */
  draft(request: TurnRequest, observer: TurnObserver): Promise<DraftedTurn> {
    return this.#drafts.draft(this.#keyOf(request), request, observer);
  }

  /** How many ids the prompt of a turn would have; see {@link TurnDrafts.count}. */
  count(request: TurnRequest, owner: Pick<TurnOwner, 'gone' | 'account'>): Promise<number> {
    return this.#drafts.count(this.#keyOf(request), request, owner);
  }

  /** Adds messages without a generation; see {@link AddedItemsWriter.add}. */
  add(request: AddRequest, gone: AbortSignal): Promise<AddedItems> {
    return this.#items.add(request, gone);
  }

  /**
   * Vectors of texts or ids; nothing is stored. Throws `unsupported_parameter` where the engine makes none, `overloaded`, `rate_limited` and what
   * the LLM Service throws.
   */
  embed(inputs: readonly (string | TokenSequence)[], owner: TurnOwner): Promise<Embeddings> {
    const { llm } = this.#parts;
    return this.#node.running.run(undefined, owner, async (turn) => {
      if (llm.embed === undefined) {
        throw new DiscedgeError('unsupported_parameter', 'the LLM Service of this model makes no embeddings', {
          param: 'model',
        });
      }
      turn.startWork();
      const settle = owner.account?.reserve(inputs.length);
      let spentIds = 0;
      try {
        const embeddings = await llm.embed(inputs, turn.stopping.signal);
        spentIds = embeddings.promptTokens;
        return embeddings;
      } finally {
        settle?.(spentIds);
      }
    });
  }

  /**
   * The session's client says that its next turn comes here. Stores nothing. Returns the last turn that is here, 0 where there is none
   * yet, and whether it is warmed. Throws `session_deleted`.
   */
  async coming(userId: UserId, sessionId: SessionId): Promise<{ readonly turn: number; readonly isWarmed: boolean }> {
    const key = { keygroup: this.keygroup, userId, sessionId };
    const session = await this.#node.records.load(key);
    if (session.deleted) throw deleted();
    this.warmer?.coming(key);
    return { turn: session.history.tip?.record.turn ?? 0, isWarmed: this.warmer !== undefined };
  }

  /** A new session that begins as another one does; see {@link Forks.fork}. */
  fork(request: ForkRequest, gone: AbortSignal): Promise<Fork> {
    return this.#forks.fork(request, gone);
  }

  /** A session of another model's, written anew for this one; see {@link Moves.move}. */
  moveHere(request: MoveRequest, gone: AbortSignal): Promise<Move> {
    return this.#moves.move(request, gone);
  }

  get #model(): string {
    return this.#parts.llm.description.identity.name;
  }

  #keyOf({ userId, sessionId, place }: TurnRequest): SessionKey {
    if (sessionId === undefined && goesOn(place)) {
      throw new DiscedgeError('invalid_request', 'session_id is needed from turn 2 on', { param: 'session_id' });
    }
    return {
      keygroup: this.keygroup,
      userId,
      sessionId: sessionId ?? (this.#node.environment.random.uuid() as SessionId),
    };
  }
}

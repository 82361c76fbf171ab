import { OutcomeUnknown } from '../context-store/outcome-unknown.ts';
import { replyReserve } from '../domain/context-window.ts';
import { DiscedgeError } from '../domain/errors.ts';
import { type KeygroupId, type SessionId, type SessionKey, sessionKeyText } from '../domain/identifiers.ts';
import { keygroupOf } from '../domain/model-identity.ts';
import type { ContextMode, StopReason, StoredMode } from '../domain/record/turn-record.ts';
import type { Turn } from '../domain/session-history.ts';
import type { TokenSequence } from '../domain/token-sequence.ts';
import type { ChatTemplate } from '../llm-service/chat-template.ts';
import { type Embeddings, type LlmService, NO_USAGE } from '../llm-service/llm-service.ts';
import type { EnteredPass } from './arbitration/arbitration.ts';
import { clientSidePrompt } from './modes/client-side.ts';
import type { Kept, Mode, Prompt } from './modes/mode.ts';
import { rawMode } from './modes/raw.ts';
import { tokenizedMode } from './modes/tokenized.ts';
import { reasoningTokens } from './modes/written-reply.ts';
import type { NodeResources } from './node-resources.ts';
import { Answers } from './sessions/answers.ts';
import { Conversations } from './sessions/conversations.ts';
import { type Fork, type ForkRequest, Forks } from './sessions/forks.ts';
import { Sessions } from './sessions/sessions.ts';
import {
  type AddedItems,
  AddedItemsWriter,
  type AddedItemsWriterParts,
  type AddRequest,
  withAdded,
} from './turn/added-items.ts';
import { callableTools, heldSampling, requireTools } from './turn/asked-form.ts';
import { callIds } from './turn/call-ids.ts';
import { generateReply } from './turn/generate-reply.ts';
import { newTurnRecord, replyTokensHeld } from './turn/new-turn-record.ts';
import { type RepairParts, repairTurns } from './turn/repair-turns.ts';
import { wholeDeltas } from './turn/reply-parts.ts';
import { ReplyReading } from './turn/reply-reader.ts';
import { claimOf } from './turn/request-digest.ts';
import { goesOn, modeOf, refuseLateSystem } from './turn/request-rules.ts';
import type { RunningTurn } from './turn/running-turn.ts';
import type {
  DraftedTurn,
  EvaluatedTurn,
  ForwardedReply,
  ForwardRequest,
  Reply,
  ReplyOptions,
  TurnObserver,
  TurnReply,
  TurnRequest,
} from './turn/turn.ts';
import { type AnsweredPass, type OpenPass, TurnGate } from './turn/turn-gate.ts';
import {
  answeredMode,
  answeredReply,
  evaluatedTurn,
  type Generated,
  generatedReply,
  replayedReply,
} from './turn/turn-reply.ts';
import { LOCAL } from './turn/write-concerns.ts';

export interface ContextManagerParts {
  readonly llm: LlmService;
  readonly template: ChatTemplate;
  /** How a context is kept where a request does not say. */
  readonly defaultMode: ContextMode;
  /** What all Context Managers of the node share. */
  readonly node: NodeResources;
}

/** A turn whose session is its own for as long as it takes. */
interface QueuedTurn {
  readonly key: SessionKey;
  readonly request: TurnRequest;
  readonly observer: TurnObserver;
  readonly turn: RunningTurn;
}

interface TakenTurn {
  readonly answered: Turn;
  readonly reply: TurnReply;
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
  readonly #parts: ContextManagerParts;
  readonly #modes: Readonly<Record<StoredMode, Mode>>;
  /** What a session is opened in where neither its request nor the node says. */
  readonly #openingMode: StoredMode;
  readonly #node: NodeResources;
  readonly #reading: ReplyReading;
  readonly #gate: TurnGate;
  readonly #forks: Forks;
  readonly #repair: RepairParts;
  readonly #items: AddedItemsWriter;

  constructor(parts: ContextManagerParts) {
    const { llm, template, node } = parts;
    this.#parts = parts;
    this.#node = node;
    this.keygroup = keygroupOf(llm.description.identity);
    this.#reading = new ReplyReading(llm, template);
    this.#modes = {
      tokenized: tokenizedMode(llm, template, this.#reading),
      raw: rawMode(llm, template, this.#reading),
    };
    this.defaultMode = parts.defaultMode;
    const exact: StoredMode = template.whyUnusable === undefined ? 'tokenized' : 'raw';
    this.#openingMode = parts.defaultMode === 'client-side' ? exact : parts.defaultMode;
    this.#gate = new TurnGate(node.replica);
    this.sessions = new Sessions({ keygroup: this.keygroup, node, modes: this.#modes });
    this.answers = new Answers({ keygroup: this.keygroup, node, modes: this.#modes });
    this.conversations = new Conversations({ keygroup: this.keygroup, node });
    this.#forks = new Forks({ keygroup: this.keygroup, node });
    this.#repair = { llm, node, modeOf: (request, base) => this.#modes[modeOf(request, base) ?? this.#openingMode] };
    const requireRoom: AddedItemsWriterParts['requireRoom'] = (request, pass) => this.#requireRoom(request, pass);
    this.#items = new AddedItemsWriter({ keygroup: this.keygroup, node, gate: this.#gate, template, requireRoom });
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
      return this.#node.running.run(keyText, observer.gone, async (turn) => {
        turn.stopWith(observer.stop);
        const { answered, reply } = await this.#node.queue.run(keyText, turn.stopping, () =>
          this.#takeQueuedTurn({ key, request, observer, turn }),
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
      this.#node.running.run(undefined, observer.gone, async (turn) => {
        requireTools(request);
        const prompt = await clientSidePrompt(request, this.#parts);
        // Beside the reply: it neither comes later for it nor fails with it.
        const text = request.promptText ? prompt.text() : undefined;
        const [generated, promptText] = await Promise.all([
          this.#generate({ ids: prompt.ids, tools: request.preamble?.tools ?? [] }, undefined, request, observer, turn),
          text,
        ]);
        const reasoningTokens = await this.#reasoningTokens(generated);
        return { ...generatedReply(generated), promptText, reasoningTokens };
      });
    return this.#node.metrics.observe(this.#model, forward, () => ({ mode: 'client-side', replayed: false }));
  }

  /**
   * Evaluates the prompt that a turn would have into the KV cache, so that the turn, when it comes, finds it there. The turn is
   * not taken, and nothing is stored. Throws as `takeTurn` does.
   */
  evaluate(request: TurnRequest, observer: TurnObserver): Promise<EvaluatedTurn> {
    return this.draft({ ...request, maxTokens: 0 }, observer);
  }

  /** Answers a turn that is not taken: its place stays free, and nothing is stored. Throws as `takeTurn` does. */
  draft(request: TurnRequest, observer: TurnObserver): Promise<DraftedTurn> {
    const key = this.#keyOf(request);
    const keyText = sessionKeyText(key);
    return this.#node.running.run(keyText, observer.gone, (turn) =>
      this.#node.queue.run(keyText, turn.stopping, async () => {
        const wasInDoubt = this.#node.records.isInDoubt(key);
        const pass = await this.#gate.pass(key, claimOf(request), turn.waiting);
        if (pass.answered !== undefined) throw new TypeError('a turn that was answered is no draft');
        this.#node.records.requireKnown(key, { wasInDoubt });
        const { mode, prompt } = await this.#build(request, pass);
        const generated = await this.#generate(prompt, key, request, observer, turn);
        prompt.evaluated();
        const drafted = evaluatedTurn(key, { mode, contextStart: prompt.contextStart }, generated, pass);
        return { ...drafted, reasoningTokens: await this.#reasoningTokens(generated) };
      }),
    );
  }

  /** How many ids the prompt of a turn would have. The turn is not taken, and nothing is evaluated. Throws as `takeTurn` does. */
  count(request: TurnRequest, gone: AbortSignal): Promise<number> {
    const key = this.#keyOf(request);
    const keyText = sessionKeyText(key);
    return this.#node.running.run(keyText, gone, (turn) =>
      this.#node.queue.run(keyText, turn.stopping, async () => {
        const pass = await this.#gate.pass(key, claimOf(request), turn.waiting);
        if (pass.answered !== undefined) throw new TypeError('nothing is counted again that was answered');
        const { prompt } = await this.#build(request, pass);
        const { length } = prompt.ids;
        prompt.evaluated();
        return length;
      }),
    );
  }

  /** Adds messages without a generation; see {@link AddedItemsWriter.add}. */
  add(request: AddRequest, gone: AbortSignal): Promise<AddedItems> {
    return this.#items.add(request, gone);
  }

  /**
   * Vectors of texts or ids; nothing is stored. Throws `unsupported_parameter` where the engine makes none, `overloaded`, and what
   * the LLM Service throws.
   */
  embed(inputs: readonly (string | TokenSequence)[], gone: AbortSignal): Promise<Embeddings> {
    const { llm } = this.#parts;
    return this.#node.running.run(undefined, gone, async ({ stopping }) => {
      if (llm.embed === undefined) {
        throw new DiscedgeError('unsupported_parameter', 'the LLM Service of this model makes no embeddings', {
          param: 'model',
        });
      }
      return llm.embed(inputs, stopping.signal);
    });
  }

  /** A new session that begins as another one does; see {@link Forks.fork}. */
  fork(request: ForkRequest, gone: AbortSignal): Promise<Fork> {
    return this.#forks.fork(request, gone);
  }

  async #takeQueuedTurn(queued: QueuedTurn): Promise<TakenTurn> {
    const { key, request, observer, turn } = queued;
    const { arbitration, metrics, records } = this.#node;
    const entering = { key, request: claimOf(request), isNew: isNew(request) };
    const wasInDoubt = records.isInDoubt(key);
    const pass = await arbitration.enter(entering, turn.waiting, () =>
      this.#gate.pass(key, claimOf(request), turn.waiting),
    );
    metrics.gatePassed(pass);
    observer.begun?.({ base: pass.answered === undefined ? pass.base : undefined, answered: pass.answered });
    if (pass.answered !== undefined) return this.#replay(pass, observer);
    let outcome: 'stored' | 'nothing' | 'unknown' = 'nothing';
    try {
      records.requireKnown(key, { wasInDoubt });
      const answered = await this.#answer({ ...queued, pass: await repairTurns(request, pass, this.#repair) });
      outcome = 'stored';
      return answered;
    } catch (error) {
      if (error instanceof OutcomeUnknown) outcome = 'unknown';
      throw error;
    } finally {
      pass.held.end(outcome);
    }
  }

  async #answer({ key, request, observer, turn, pass }: QueuedTurn & { pass: EnteredPass }): Promise<TakenTurn> {
    turn.startGenerating();
    const { prompt } = await this.#build(request, pass);
    const { environment, options, records } = this.#node;
    const recordOf = (stop: StopReason, kept: Kept, parts: Reply['parts'], usage = NO_USAGE) => {
      const answer = {
        prompt,
        stop,
        kept,
        parts,
        cost: { promptTokens: prompt.ids.length, usage },
        writtenAtMs: environment.clock.now(),
        isOver: (ms: number) => records.isOver(ms),
        marks: records.marks,
      };
      return newTurnRecord(request, pass, answer, options);
    };
    const heldTokens = replyTokensHeld(recordOf({ kind: 'limit' }, prompt.draft, []));
    const reply = { ...request, maxTokens: Math.min(this.#maxTokens(request), heldTokens) };
    const generated = await this.#generate(prompt, key, reply, observer, turn);
    const { end, read } = generated;
    const kept = await prompt.record(end, read);
    turn.startCommitting();
    const record = recordOf(end.stop, kept, generatedReply(generated).parts, end.usage);
    const sealed = await records.write(record);
    prompt.kept(sealed);
    const answered = { record, hash: sealed.hash };
    return { answered, reply: answeredReply(answered, generated, prompt, pass) };
  }

  async #build(request: TurnRequest, { session, base }: OpenPass): Promise<{ mode: StoredMode; prompt: Prompt }> {
    const answered = session.history.lastAnswered(base);
    const added = withAdded(request, session.history.addedUpTo(base));
    const mode = modeOf(request, answered) ?? this.#openingMode;
    refuseLateSystem(added, answered);
    const replyTokens = this.#replyReserve(request);
    requireTools(request);
    return { mode, prompt: await this.#modes[mode].build({ request: added, session, base: answered, replyTokens }) };
  }

  /** What would not fit once it is kept would have every later turn refused. What a template says of it is the next turn's. */
  async #requireRoom(request: AddRequest, pass: OpenPass): Promise<void> {
    const reading: TurnRequest = { ...READING, ...request, place: { tip: 'new' } };
    try {
      const { prompt } = await this.#build(reading, pass);
      prompt.evaluated();
    } catch (error) {
      if (error instanceof DiscedgeError && error.code === 'context_overflow') throw error;
    }
  }

  async #replay(pass: AnsweredPass, observer: TurnObserver): Promise<TakenTurn> {
    const { answered } = pass;
    const text = await this.#modes[answeredMode(answered)].readReply(answered);
    const { reply, replyIds: ids } = text;
    observer.part({ text: reply, ids, parts: wholeDeltas(text.parts), promptTokens: 0 });
    const { contextTokens: windowTokens } = this.#parts.llm.description;
    return { answered, reply: replayedReply(answered, text, pass, { windowTokens }) };
  }

  async #generate(
    prompt: Pick<Prompt, 'ids' | 'tools'>,
    key: SessionKey | undefined,
    options: ReplyOptions,
    observer: TurnObserver,
    { stopping }: RunningTurn,
  ): Promise<Generated> {
    const { llm } = this.#parts;
    const { contextTokens: windowTokens } = llm.description;
    const promptTokens = prompt.ids.length;
    const allowedTokens = this.#maxTokens(options);
    const maxTokens = Math.min(allowedTokens, Math.max(1, windowTokens - promptTokens));
    const tools = callableTools(options, prompt.tools);
    const reader = await this.#reading.reader({
      prompt: prompt.ids,
      tools: tools && new Set(tools.map(({ name }) => name)),
      newCallId: callIds(this.#node.environment.random),
    });
    const sampling = heldSampling(options, { tools, template: this.#parts.template, begun: reader.begun });
    const held = { ...options, sampling };
    const asked = { prompt: prompt.ids, maxTokens, key, options: held, observer, reader, signal: stopping.signal };
    const { end, read } = await generateReply(llm, asked);
    this.#node.metrics.generated(this.#model, end.usage);
    return { end, read, promptTokens, maxTokens: allowedTokens, windowTokens };
  }

  #reasoningTokens({ end, read }: Generated): Promise<number> {
    return reasoningTokens(end, read.parts, this.#parts);
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

  /** The reply's length in ids: what was asked for, within the node's limit. */
  #maxTokens({ maxTokens }: ReplyOptions): number {
    const { replyTokensDefault, replyTokensMax } = this.#node.options;
    if (maxTokens === 'most') return replyTokensMax;
    return Math.min(maxTokens ?? replyTokensDefault, replyTokensMax);
  }

  #replyReserve(request: ReplyOptions): number {
    return replyReserve(this.#parts.llm.description.contextTokens, this.#maxTokens(request));
  }
}

/** How a turn would read what is added before it: as well as it can. */
const READING = {
  mode: undefined,
  maxTokens: undefined,
  stop: [],
  sampling: {},
  stream: false,
  consistency: 'strong',
  writeConcern: 'local',
  replicatedWaitMs: 0,
  overflow: 'drop-oldest',
  reasoning: 'as-template',
} as const;

/** Whether nobody else can know of its session. */
function isNew({ sessionId, place }: TurnRequest): boolean {
  return sessionId === undefined || ('opens' in place && place.drawn === true);
}

import type { SessionKey } from '../../domain/identifiers.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { NO_USAGE } from '../../llm-service/llm-service.ts';
import type { EnteredPass } from '../arbitration/arbitration.ts';
import type { Kept, Mode } from '../modes/mode.ts';
import type { NodeResources } from '../node-resources.ts';
import type { Summaries } from '../summaries/summaries.ts';
import type { Warmer } from '../warmer/warmer.ts';
import type { Answering } from './answering.ts';
import { newTurnRecord, replyTokensHeld } from './new-turn-record.ts';
import { repairTurns } from './repair-turns.ts';
import { wholeDeltas } from './reply/reply-parts.ts';
import { answeredMode, answeredReply, generatedReply, replayedReply } from './reply/turn-reply.ts';
import { claimOf } from './request-digest.ts';
import type { RunningTurn } from './running-turn.ts';
import type { ToldTurnParts } from './told-turn.ts';
import type { Reply, TurnObserver, TurnReply, TurnRequest } from './turn.ts';
import type { AnsweredPass, TurnGate } from './turn-gate.ts';
import { whileStored } from './while-stored.ts';

export interface TurnTakingParts {
  readonly node: NodeResources;
  readonly modes: Readonly<Record<StoredMode, Mode>>;
  readonly gate: TurnGate;
  readonly answering: Answering;
  readonly summaries: Summaries;
  readonly told: ToldTurnParts;
  /** `undefined` where nothing is warmed. */
  readonly warmer: Warmer | undefined;
}

/** A turn whose session is its own for as long as it takes. */
export interface QueuedTurn {
  readonly key: SessionKey;
  readonly request: TurnRequest;
  readonly observer: TurnObserver;
  readonly turn: RunningTurn;
}

export interface TakenTurn {
  readonly answered: Turn;
  readonly reply: TurnReply;
}

/** One turn whose session is its own: sent again, it is answered from its record; else it is answered, and on disk before that is told. */
export class TurnTaking {
  readonly #parts: TurnTakingParts;

  constructor(parts: TurnTakingParts) {
    this.#parts = parts;
  }

  /** Throws as `ContextManager.takeTurn` does. */
  async take(queued: QueuedTurn): Promise<TakenTurn> {
    const { key, request, observer, turn } = queued;
    const { arbitration, metrics, records } = this.#parts.node;
    const entering = { key, request: claimOf(request), isNew: isNew(request) };
    const wasInDoubt = records.isInDoubt(key);
    const pass = await arbitration.enter(entering, turn.waiting, () =>
      this.#parts.gate.pass(key, claimOf(request), turn.waiting),
    );
    metrics.gatePassed(pass);
    observer.begun?.({ base: pass.answered === undefined ? pass.base : undefined, answered: pass.answered });
    if (pass.answered !== undefined) return this.#replay(pass, observer);
    const place = { key, pass, wasInDoubt, account: observer.account };
    return whileStored(place, this.#parts.node, async () =>
      this.#answer({ ...queued, pass: await repairTurns(request, pass, this.#parts.told) }),
    );
  }

  async #answer({ key, request, observer, turn, pass }: QueuedTurn & { pass: EnteredPass }): Promise<TakenTurn> {
    turn.startGenerating();
    const owner = { work: turn, account: observer.account };
    const { prompt, hasWaited, at } = await this.#parts.summaries.build(request, pass, owner);
    const { environment, options, records, userLifetimes } = this.#parts.node;
    const recordOf = (kept: Kept, { stop, windowIsFull, parts, usage }: Answer) => {
      const answer = {
        prompt,
        stop,
        windowIsFull,
        kept,
        parts,
        cost: { promptTokens: prompt.ids.length, usage },
        writtenAtMs: environment.clock.now(),
        userTtlMs: userLifetimes.ttlMs(key.userId),
        isOver: (ms: number) => records.isOver(ms),
        marks: records.marksFor(key, pass.base?.record),
      };
      return newTurnRecord(request, at, answer, options);
    };
    const heldTokens = replyTokensHeld(recordOf(prompt.draft, NO_ANSWER));
    const reply = { ...request, maxTokens: Math.min(this.#parts.answering.maxTokens(request), heldTokens) };
    const generated = await this.#parts.answering.generate(prompt, key, reply, observer, turn);
    const { end, read } = generated;
    const hasMoved = pass.base !== undefined && pass.base.record.origin !== options.nodeId;
    this.#parts.warmer?.answered(key, end.usage, { hasMoved });
    const kept = await prompt.record(end, read);
    turn.startCommitting();
    const record = recordOf(kept, generatedReply(generated));
    const sealed = await records.write(record);
    prompt.kept(sealed);
    const contextTokens = prompt.ids.length + end.usage.predictedTokens;
    this.#parts.summaries.answered(request, at.session, { contextTokens, account: observer.account });
    const answered = { record, hash: sealed.hash };
    return { answered, reply: answeredReply(answered, generated, { prompt, hasWaited }, at) };
  }

  async #replay(pass: AnsweredPass, observer: TurnObserver): Promise<TakenTurn> {
    const { answered } = pass;
    const text = await this.#parts.modes[answeredMode(answered)].readReply(answered);
    const { reply, replyIds: ids } = text;
    observer.part({ text: reply, ids, parts: wholeDeltas(text.parts), promptTokens: 0 });
    return { answered, reply: replayedReply(answered, text, pass) };
  }
}

type Answer = Pick<Reply, 'stop' | 'windowIsFull' | 'parts' | 'usage'>;
/** For the longest record that there can be without a reply. */
const NO_ANSWER: Answer = { stop: { kind: 'limit' }, windowIsFull: true, parts: [], usage: NO_USAGE };

/** Whether nobody else can know of its session. */
function isNew({ sessionId, place }: TurnRequest): boolean {
  return sessionId === undefined || ('opens' in place && place.drawn === true);
}

import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import { joinedExtensions } from '../../domain/record/extensions.ts';
import { OPTIONAL_LAYERS } from '../../domain/record/layers-left-out.ts';
import { answerText } from '../../domain/record/message-content.ts';
import { replyEndAlone } from '../../domain/record/reply-end.ts';
import { beginsWithExtension, droppedTurns, type SummedTurns, summaryMark } from '../../domain/record/summary.ts';
import type { TurnRecord } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { beginningAt, beginningBehind, summaryBeyond } from '../../domain/session/session-summaries.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import type { Beginning } from '../modes/context-beginning.ts';
import { SUMMARY_REQUEST, summaryTokensMax } from '../modes/summary-request.ts';
import type { NodeResources } from '../node-resources.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { Answering } from '../turn/answering.ts';
import { OWN_REQUEST } from '../turn/own-request.ts';
import type { LlmWork } from '../turn/reply/generate-reply.ts';
import { digestOf } from '../turn/request-digest.ts';
import type { TurnObserver, TurnRequest } from '../turn/turn.ts';

export interface SummaryWriterParts {
  readonly llm: LlmService;
  readonly node: NodeResources;
  readonly answering: Answering;
}

/** For whom a summary is made. */
export interface SummaryOwner {
  readonly work: LlmWork;
  /** What it takes is counted to. */
  readonly account: TurnObserver['account'];
}

/** Two nodes that sum up the same turns write the same as far as their engines do. */
const SAMPLING = { temperature: 0, seed: 0 };
const NOBODY = new AbortController().signal;

/** Has the model sum up the oldest turns of a session, and keeps that as a record of it. */
export class SummaryWriter {
  readonly #parts: SummaryWriterParts;

  constructor(parts: SummaryWriterParts) {
    this.#parts = parts;
  }

  /**
   * Durable on this node when it resolves, and replicated as every record. `base`: the turn to go on from, in whose prompt the
   * context begins as it is read here: on top of an earlier summary, where one stands in it or is to. Sums up the turns up to `upTo`, or fewer where
   * these do not fit into the window with the request. Throws `llm_bad_reply` for a summary that is empty or too long to be kept,
   * `context_overflow` where not even one turn fits, and what the LLM Service and the store throw.
   */
  async write(
    session: CachedSession,
    turns: { readonly base: Turn; readonly upTo: Turn },
    { work, account }: SummaryOwner,
  ): Promise<void> {
    const { llm, node, answering } = this.#parts;
    const { upTo, absent, request, prompt } = await this.prompt(session, turns);
    const observer = { gone: NOBODY, part: () => {}, account };
    const { end, read } = await answering.generate(prompt, session.key, request, observer, work);
    const kept = await prompt.record(end, read);
    if (answerText(read.parts).trim() === '') {
      throw new DiscedgeError(
        'llm_bad_reply',
        'the model was to sum the conversation up, and has written nothing; ask again',
      );
    }
    work.stopping.throwIfAborted();
    const { options, environment, records } = node;
    const { hash, record: last } = upTo;
    const summed = { through: last.turn, absent };
    const place = joinedExtensions(
      replyEndAlone(kept).extensions,
      summaryMark({ of: hash, ...summed }),
      records.marksFor(session.key, last).extensions,
    );
    const record: TurnRecord = {
      kind: 'turn',
      ...session.key,
      origin: options.nodeId,
      incarnation: options.incarnation,
      writtenAtMs: environment.clock.now(),
      // It prolongs nothing.
      expiresAtMs: session.history.expiresAtMs,
      // A build that does not know summaries keeps it as a branch of one turn, which never is the main line.
      turn: 1 as TurnNumber,
      parent: undefined,
      requestDigest: digestOf(`summary of ${hash}`),
      contextStart: 1 as TurnNumber,
      stop: end.stop,
      sampling: { ...SAMPLING, maxTokens: summaryTokensMax(llm) },
      payload: kept.payload,
      ...(place && { extensions: place }),
    };
    requireHeld(record, summed);
    await records.write(record);
  }

  /**
   * The request for a summary after as many of the turns as the window holds with it, on top of one that was made before: so each
   * goes further than that, though the window holds few of them. Throws `context_overflow` where not even one turn fits.
   */
  async prompt(session: CachedSession, { base, upTo }: { readonly base: Turn; readonly upTo: Turn }) {
    const line = session.history.answeredLine(base);
    const made = summaryBeyond(session.history, base);
    const beginning: Beginning =
      made !== undefined && made.through < upTo.record.turn
        ? beginningBehind(made)
        : beginningAt(session.history, base);
    const turns = line.filter(({ record: { turn } }) => turn >= beginning.contextStart && turn <= upTo.record.turn);
    for (let count = turns.length; ; count = Math.floor(count / 2)) {
      const last = turns[count - 1] as Turn;
      const request = this.#request(session, last);
      try {
        const built = await this.#build(request, { session, base: last, beginning });
        return { upTo: last, absent: droppedTurns(beginning), request, ...built };
      } catch (error) {
        const isTooLong = error instanceof DiscedgeError && error.code === 'context_overflow';
        if (!isTooLong || count === 1) throw error;
      }
    }
  }

  #build(
    request: TurnRequest,
    { session, base, beginning }: { session: CachedSession; base: Turn; beginning: Beginning },
  ) {
    // Beside the session, whose folded context is for the turn to come.
    const beside = { ...session, tokens: undefined };
    return this.#parts.answering.build(request, { session: beside, base }, beginning);
  }

  #request({ key }: CachedSession, { hash, record }: Turn): TurnRequest {
    return {
      ...ASKING,
      userId: key.userId,
      sessionId: key.sessionId,
      place: { turn: (record.turn + 1) as TurnNumber, contextId: hash },
      maxTokens: summaryTokensMax(this.#parts.llm),
    };
  }
}

const ASKING = {
  ...OWN_REQUEST,
  messages: [{ role: 'user', content: SUMMARY_REQUEST }],
  form: { toolChoice: 'none', parallelToolCalls: true, format: undefined },
  sampling: SAMPLING,
  // It becomes a record, and a model may repeat what stands before the conversation: neither a region's data nor what is a user's own.
  withoutLayers: OPTIONAL_LAYERS,
} as const;

/** Every turn that is to begin with it has to keep it. */
function requireHeld({ payload, stop }: TurnRecord, summed: SummedTurns): void {
  if (payload.mode === 'items') throw new TypeError('a summary is a reply');
  try {
    beginsWithExtension({ ...summed, payload, stop });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DiscedgeError('llm_bad_reply', 'the model has written a summary too long to be kept; ask again');
  }
}

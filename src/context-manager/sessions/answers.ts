import { DiscedgeError } from '../../domain/errors.ts';
import type { KeygroupId, SessionId, SessionKey, UserId } from '../../domain/identifiers.ts';
import type { AnswerId } from '../../domain/record/answer-id.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import type { SessionHistory, Turn } from '../../domain/session/session-history.ts';
import { stopSignOf } from '../../waiting/stop.ts';
import type { Mode, TurnText } from '../modes/mode.ts';
import type { NodeResources } from '../node-resources.ts';
import { STALE_RETRY_MS } from '../turn/turn-gate.ts';
import { TurnTexts } from './turn-texts.ts';

/** A stored turn that is found by an id of its own. */
export interface FoundAnswer {
  readonly turn: Turn;
  readonly text: TurnText;
  readonly history: SessionHistory;
}

/** Reads turns by the ids that were given out for them before they were answered. */
export class Answers {
  readonly #keygroup: KeygroupId;
  readonly #node: NodeResources;
  readonly #modes: Readonly<Record<StoredMode, Mode>>;

  constructor(parts: { keygroup: KeygroupId; node: NodeResources; modes: Readonly<Record<StoredMode, Mode>> }) {
    this.#keygroup = parts.keygroup;
    this.#node = parts.node;
    this.#modes = parts.modes;
  }

  /**
   * Waits for it where it may be on its way. Throws `session_not_found` where there is none, or it was removed, `context_stale`
   * where it can still come, and what the LLM Service throws that puts it into words.
   */
  async find(
    { userId, sessionId }: { userId: UserId; sessionId: SessionId },
    answerId: AnswerId,
    wait: { readonly maxWaitMs: number; readonly signal: AbortSignal },
  ): Promise<FoundAnswer> {
    const { replica } = this.#node;
    const key: SessionKey = { keygroup: this.#keygroup, userId, sessionId };
    const { session, seen: turn } = await replica.until(
      key,
      { maxWaitMs: wait.maxWaitMs, stop: stopSignOf(wait.signal) },
      ({ deleted, history }) => {
        if (deleted || history.hasRemoved(answerId)) throw notFound();
        return history.answer(answerId);
      },
      (found) => (found === undefined ? 'arrival' : undefined),
    );
    const { history } = session;
    if (turn === undefined) {
      const canCome = !replica.isAlone && (history.size > 0 || replica.outlookFor(key) === 'possible');
      throw canCome ? notYet() : notFound();
    }
    const text = await this.textOf(turn);
    return { turn, text, history };
  }

  /** A stored turn as people read it. Throws what the LLM Service throws. */
  async textOf(turn: Turn): Promise<TurnText> {
    const text = await new TurnTexts(this.#modes).of(turn);
    if (text instanceof DiscedgeError) throw text;
    return text;
  }
}

function notFound(): DiscedgeError {
  return new DiscedgeError('session_not_found', 'there is no such answer here, or it has expired');
}

function notYet(): DiscedgeError {
  const message = 'the answer has not arrived at this node; ask again, or another node';
  return new DiscedgeError('context_stale', message, { retryAfterMs: STALE_RETRY_MS });
}

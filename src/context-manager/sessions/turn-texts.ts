import { setImmediate } from 'node:timers/promises';
import type { DiscedgeError } from '../../domain/errors.ts';
import { withoutRetrieved } from '../../domain/record/retrieved.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { isLlmFailure } from '../../llm-service/llm-service.ts';
import type { Mode, TurnText } from '../modes/mode.ts';

/** Turns that are put into words at a stretch: about a millisecond, then whoever else waits has a turn. */
const AT_A_STRETCH = 64;

/**
 * The texts of the turns that are read together. An LLM Service that fails is not asked for the others: each would wait as
 * long for the same answer.
 */
export class TurnTexts {
  readonly #modes: Readonly<Record<StoredMode, Mode>>;
  readonly #failures = new Map<StoredMode, DiscedgeError>();
  #read = 0;

  constructor(modes: Readonly<Record<StoredMode, Mode>>) {
    this.#modes = modes;
  }

  /** Where the LLM Service is needed for it and fails, its failure. */
  async of(turn: Turn): Promise<TurnText | DiscedgeError> {
    const { payload } = turn.record;
    if (payload.mode === 'items')
      return { messages: payload.messages, reply: '', parts: [], replyIds: [], exact: true };
    const { mode } = payload;
    this.#read++;
    if (this.#read % AT_A_STRETCH === 0) await setImmediate();
    const failure = this.#failures.get(mode);
    if (failure !== undefined) return failure;
    try {
      const text = await this.#modes[mode].read(turn);
      return { ...text, messages: withoutRetrieved(text.messages, turn.record) };
    } catch (error) {
      if (!isLlmFailure(error)) throw error;
      this.#failures.set(mode, error);
      return error;
    }
  }
}

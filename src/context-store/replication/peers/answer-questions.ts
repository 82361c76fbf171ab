import type { KeygroupId } from '../../../domain/identifiers.ts';
import type { Clock, Logger } from '../../../environment/environment.ts';
import { within } from '../../../waiting/within.ts';
import { ANSWER_TOLD_BYTES_MAX, type AnswerQuestion, type AnswersElsewhere } from '../../answers-elsewhere.ts';

/** Beyond the delay that was measured to a peer, where it is only to tell. */
const TELL_PATIENCE_MS = 1_000;
/** What is stopped has to end first. */
const STOP_PATIENCE_MS = 4_000;

/** A peer that can be asked about answers. */
export interface AnsweringPeer {
  readonly nodeId: string;
  /** Within how many milliseconds nearly all its answers come. */
  readonly delayMs: number;
  /** Throws when it does not answer. */
  answer(question: AnswerQuestion): Promise<Uint8Array | undefined>;
}

export interface AnswerQuestionsParts {
  /** Those that can be asked now about answers of the keygroup. */
  readonly peers: (keygroup: KeygroupId) => readonly AnsweringPeer[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How nodes ask each other about answers that are under way: all that can be reached at once, for who works on it is not known. */
export class AnswerQuestions implements AnswersElsewhere {
  readonly #parts: AnswerQuestionsParts;
  #tell: (question: AnswerQuestion) => Promise<Uint8Array | undefined> = async () => undefined;

  constructor(parts: AnswerQuestionsParts) {
    this.#parts = parts;
  }

  serve(tell: (question: AnswerQuestion) => Promise<Uint8Array | undefined>): void {
    this.#tell = tell;
  }

  ask(question: AnswerQuestion): Promise<Uint8Array | undefined> {
    const asked = this.#parts.peers(question.key.keygroup).map((peer) => this.#askOne(peer, question));
    return new Promise((resolve) => {
      for (const answer of asked) void answer.then((told) => told && resolve(told));
      void Promise.all(asked).then(() => resolve(undefined));
    });
  }

  /** `undefined` where nothing is known of it here. Throws what whoever tells throws. */
  async answer(question: AnswerQuestion): Promise<Uint8Array | undefined> {
    const told = await this.#tell(question);
    if (told !== undefined && told.length > ANSWER_TOLD_BYTES_MAX)
      throw new RangeError(`${told.length} bytes are told of an answer, more than a peer reads`);
    return told;
  }

  async #askOne(peer: AnsweringPeer, question: AnswerQuestion): Promise<Uint8Array | undefined> {
    const { clock, logger } = this.#parts;
    const answer = peer.answer(question).catch((error) => {
      logger.warn('answer_question_failed', { peer: peer.nodeId }, error);
      return undefined;
    });
    const patienceMs = question.wish === 'tell' ? TELL_PATIENCE_MS : STOP_PATIENCE_MS;
    return within({ clock, waitMs: peer.delayMs + patienceMs }, answer, () => undefined);
  }
}

import { DiscedgeError } from '../../domain/errors.ts';
import type { SessionKeyText, UserId } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';
import { Stop, type StopSign } from '../../waiting/stop.ts';
import type { Share } from './share.ts';

/** What its owner's cancelling does to a turn. `undecided`: it is refused unless it is found answered already. */
export type Cancelling = 'stopped' | 'undecided' | 'too late';

/**
 * One turn in flight, and what may still stop it. While it waits (queue, gate) anything does, the client's leaving too.
 * Once it generates it is finished for a client that left, so that a retry is a replay, but not without end. Once it is
 * being committed nothing stops it: what is told "cancelled" must not be stored. Once it is stored it may wait for peers;
 * whatever would stop it ends that wait.
 *
 * A turn that is cancelled while it waits may be the repetition of one that is stored, or is being stored: it is given the
 * stored reply, or told that nothing was stored, and which of the two shows only once it has looked.
 */
export class RunningTurn implements Share {
  readonly principal: string;
  readonly userId: UserId | undefined;
  /** `undefined`: nothing will be stored, so a client that left has nothing to come back for. */
  readonly keyText: SessionKeyText | undefined;
  readonly #clock: Clock;
  readonly #finishAbandonedMs: number;
  readonly #gone: AbortSignal;
  readonly #stopping = new Stop();
  readonly #waiting = new Stop();
  readonly #impatient = new Stop();
  #stopListening = () => {};
  #phase: 'waiting' | 'generating' | 'committing' | 'stored' = 'waiting';
  #isWorkedOn = false;
  #cancelTimer = () => {};

  constructor(parts: {
    keyText: SessionKeyText | undefined;
    share: Share;
    gone: AbortSignal;
    clock: Clock;
    finishAbandonedMs: number;
  }) {
    this.keyText = parts.keyText;
    this.principal = parts.share.principal;
    this.userId = parts.share.userId;
    this.#clock = parts.clock;
    this.#finishAbandonedMs = parts.finishAbandonedMs;
    this.#gone = parts.gone;
    if (this.#gone.aborted) this.#onGone();
    else this.#gone.addEventListener('abort', this.#onGone, { once: true });
  }

  /** Given, with a DiscedgeError, when the turn has to stop. */
  get stopping(): StopSign {
    return this.#stopping;
  }

  /** Given when the turn is to wait no longer for what is not here: when it has to stop, and when it was cancelled. */
  get waiting(): StopSign {
    return this.#waiting;
  }

  /** Given when the turn is stored and is to wait no longer for peers to have it: its client left, or it would be stopped. */
  get sharing(): StopSign {
    return this.#impatient;
  }

  /** Whether it only waits, here or for the LLM Service: stopped now, it has cost nobody anything. */
  get givesWay(): boolean {
    return !this.#isWorkedOn && (this.#phase === 'waiting' || this.#phase === 'generating');
  }

  /** From here on the LLM Service works on it. */
  startWork(): void {
    this.#isWorkedOn = true;
  }

  /** From here on the turn goes on for `finishAbandonedMs` without its client. Throws when it has been stopped. */
  startGenerating(): void {
    this.#waiting.throwIfAborted();
    this.#phase = 'generating';
  }

  /** From here on the turn cannot be stopped. Throws when it has been stopped. */
  startCommitting(): void {
    this.#stopping.throwIfAborted();
    this.#phase = 'committing';
  }

  /** The turn is stored. */
  startSharing(): void {
    this.#phase = 'stored';
    if (this.#gone.aborted) this.#onGone();
  }

  /** False when it is too late: the turn is being stored, or is. */
  stop(reason: DiscedgeError): boolean {
    if (this.#phase === 'stored') this.#impatient.abort(reason);
    if (this.#phase === 'committing' || this.#phase === 'stored') return false;
    this.#stopping.abort(reason);
    this.#waiting.abort(reason);
    return true;
  }

  cancel(reason: DiscedgeError): Cancelling {
    if (this.#phase !== 'waiting') return this.stop(reason) ? 'stopped' : 'too late';
    this.#waiting.abort(reason);
    return 'undecided';
  }

  /** Stopped once the signal aborts, for its reason. */
  stopWith(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const stop = () => void this.stop(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    this.#stopListening = () => signal.removeEventListener('abort', stop);
  }

  /** The turn is over; lets go of the client's signal. */
  end(): void {
    this.#gone.removeEventListener('abort', this.#onGone);
    this.#cancelTimer();
    this.#stopListening();
  }

  readonly #onGone = (): void => {
    if (this.#phase === 'waiting') {
      this.stop(new DiscedgeError('turn_cancelled', 'the client left before the turn began; nothing was stored'));
      return;
    }
    if (this.#phase === 'stored') {
      this.#impatient.abort(this.#gone.reason);
      return;
    }
    this.#cancelTimer = this.#clock.after(this.#finishAbandonedMs, () =>
      this.stop(
        new DiscedgeError('turn_cancelled', 'the client left and the turn took too long to finish; nothing was stored'),
      ),
    );
  };
}

import type { TurnArbitration, TurnAttempt } from '../../context-store/turn-arbitration.ts';
import type { NodeId } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';
import { CONFIRM_EVERY_MS, GRANT_MS, type TurnGrants } from './turn-grants.ts';

interface HeldTurnParts {
  readonly nodeId: NodeId;
  readonly attempt: TurnAttempt;
  readonly isArbitrated: boolean;
  /** Those that may have this node down as the one at the turn, or should: one that did not answer, or was not there, included. */
  readonly asked: readonly NodeId[];
  readonly others: TurnArbitration | undefined;
  readonly grants: TurnGrants;
  readonly clock: Clock;
}

/** A turn that this node is at: whoever let it is told for as long as that lasts. */
export class HeldTurn {
  /** Nobody else can be at it. */
  static readonly unshared = new HeldTurn(undefined);
  readonly #parts: HeldTurnParts | undefined;
  /** When whoever let it last heard of it, on the clock that goes on while the machine sleeps. */
  #confirmedMs = 0;
  #hasLapsed = false;
  #cancelTimer = () => {};

  constructor(parts: HeldTurnParts | undefined) {
    this.#parts = parts;
    if (parts === undefined || parts.asked.length === 0) return;
    this.#confirmedMs = parts.clock.steady();
    this.#confirmLater(parts);
  }

  /** Whether no other node can have been let answer it; not one that hung, or slept, for longer than its grant lasts. */
  get isArbitrated(): boolean {
    if (this.#parts === undefined) return true;
    this.#look(this.#parts);
    return this.#parts.isArbitrated && !this.#hasLapsed;
  }

  /**
   * `stored`: its record tells of it, and until that has arrived where it was asked the grant lasts. `unknown`: it may be,
   * and nobody has to wait for longer than for a node that died at it.
   */
  end(outcome: 'stored' | 'nothing' | 'unknown'): void {
    const parts = this.#parts;
    if (parts === undefined) return;
    this.#cancelTimer();
    const { grants, nodeId, attempt } = parts;
    if (outcome === 'unknown') grants.take(nodeId, attempt);
    else grants.giveBack(nodeId, attempt);
    this.#tell(parts, outcome === 'nothing' ? 'over' : 'held');
  }

  #confirmLater(parts: HeldTurnParts): void {
    this.#cancelTimer = parts.clock.after(CONFIRM_EVERY_MS, () => {
      this.#look(parts);
      this.#confirmedMs = parts.clock.steady();
      this.#tell(parts, 'held');
      this.#confirmLater(parts);
    });
  }

  #look({ asked, clock }: HeldTurnParts): void {
    if (asked.length > 0 && clock.steady() - this.#confirmedMs >= GRANT_MS) this.#hasLapsed = true;
  }

  #tell({ asked, others, attempt }: HeldTurnParts, news: 'held' | 'over'): void {
    for (const arbiter of asked) others?.tell(arbiter, attempt, news);
  }
}

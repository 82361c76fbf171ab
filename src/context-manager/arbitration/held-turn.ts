import type { TurnArbitration, TurnAttempt } from '../../context-store/turn-arbitration.ts';
import type { NodeId } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';
import { CONFIRM_EVERY_MS, type TurnGrants } from './turn-grants.ts';

interface HeldTurnParts {
  readonly nodeId: NodeId;
  readonly attempt: TurnAttempt;
  readonly isArbitrated: boolean;
  /** Those that may have this node down as the one at the turn, one that did not answer in time included. */
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
  #cancelTimer = () => {};

  constructor(parts: HeldTurnParts | undefined) {
    this.#parts = parts;
    if (parts !== undefined && parts.asked.length > 0) this.#confirmLater(parts);
  }

  /** Whether no other node can have been let answer it. */
  get isArbitrated(): boolean {
    return this.#parts?.isArbitrated ?? true;
  }

  /** Stored, its record tells of it; until that has arrived where it was asked, the grant lasts. */
  end({ isStored }: { readonly isStored: boolean }): void {
    const parts = this.#parts;
    if (parts === undefined) return;
    this.#cancelTimer();
    const { grants, nodeId, attempt } = parts;
    grants.giveBack(nodeId, attempt);
    this.#tell(parts, isStored ? 'held' : 'over');
  }

  #confirmLater(parts: HeldTurnParts): void {
    this.#cancelTimer = parts.clock.after(CONFIRM_EVERY_MS, () => {
      this.#tell(parts, 'held');
      this.#confirmLater(parts);
    });
  }

  #tell({ asked, others, attempt }: HeldTurnParts, news: 'held' | 'over'): void {
    for (const arbiter of asked) others?.tell(arbiter, attempt, news);
  }
}

import type { KeygroupId } from '../../../domain/identifiers.ts';
import { NewerRecord } from '../../../domain/record/record-version.ts';
import type { Logger } from '../../../environment/environment.ts';
import { abortable } from '../../../waiting/abortable.ts';
import { isOf, logText, type OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { type HelloReply, LOGS_MAX } from '../peers/peer-protocol.ts';
import { SignerUnknown } from '../signatures/known-signers.ts';
import type { Applier } from './applier.ts';
import { backFill, type Holder } from './back-fill.ts';

/**
 * Records that a node may have written since the copy of its disk that was put back: years of turns. Its log moves past what
 * peers claim to have, and a false claim must not use up the numbers.
 */
export const OWN_RECORDS_MISSED_MAX = 100_000_000;
/** Lists gone through that are remembered; a greeting names at most as many logs. To forget one costs asking again. */
const LOGS_LISTED_MAX = LOGS_MAX;

export interface CatchUpOptions {
  readonly keygroups: readonly KeygroupId[];
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  /** Whether the node behind a log is connected, with that disk, and serves its keygroup: then its stream brings the records. */
  readonly isHandedOut: (log: OriginLog) => boolean;
  /** Runs one such work after the other: what one peer has handed out, the next one need not. */
  readonly oneAtATime: (work: () => Promise<void>) => Promise<void>;
}

/** Gets from a peer the records that no stream brings: their node is away, dead, has another disk or serves other models by now. */
export class CatchUp {
  readonly #options: CatchUpOptions;
  readonly #holder: Holder;
  readonly #logger: Logger;
  /** How far the peer's list of each log has been gone through. */
  readonly #listed = new Map<string, number>();

  constructor(options: CatchUpOptions, { holder, logger }: { readonly holder: Holder; readonly logger: Logger }) {
    this.#options = options;
    this.#holder = holder;
    this.#logger = logger;
  }

  /** The peer has told what it is and holds. Throws what the peer and the store throw, and `signal.reason`. */
  async run({ node, logs }: HelloReply, signal: AbortSignal): Promise<void> {
    const { keygroups, isHandedOut, oneAtATime, replica, applier } = this.#options;
    applier.askForKeysAgain(node.nodeId);
    for (const { log, last } of logs) {
      if (!keygroups.includes(log.keygroup) || isHandedOut(log)) continue;
      const isOrigin = isOf(log, node) || isOf(log, replica);
      await abortable(
        oneAtATime(() => this.#take({ log, last, isOrigin }, signal)),
        signal,
      );
    }
  }

  async #take(
    { log, last, isOrigin }: HelloReply['logs'][number] & { readonly isOrigin: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { replica, applier } = this.#options;
    const after = Math.max(replica.cursor(log).sequence, this.#listed.get(logText(log)) ?? 0);
    if (last <= after || signal.aborted) return;
    const isOwn = isOf(log, replica);
    if (isOwn && last - after > OWN_RECORDS_MISSED_MAX) {
      this.#logger.error('peer_claims_too_much', { peer: this.#holder.nodeId, last: after, known: last });
      return;
    }
    // That peers know more of an own log than this node does tells that an older copy of its disk was put back.
    if (isOwn) this.#logger.error('store_rolled_back', { last: after, known: last });
    try {
      await backFill({ log, holder: this.#holder, after, through: last, isOrigin }, { replica, applier });
    } catch (error) {
      // No fault of the peer: the log waits there for an upgrade of this node, or until somebody knows its writer's key, and is
      // asked for again at the next greeting.
      if (error instanceof NewerRecord || error instanceof SignerUnknown) return;
      throw error;
    }
    if (this.#listed.size >= LOGS_LISTED_MAX) this.#listed.clear();
    this.#listed.set(logText(log), last);
  }
}

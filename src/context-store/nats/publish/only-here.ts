import type { OriginLog } from '../../lmdb/origin-log.ts';
import type { ReplicaStore } from '../../lmdb/replica.ts';
import type { OnlyHereStatus } from '../../replication-status.ts';
import type { Announcement } from '../peers/peer-protocol.ts';
import type { ReplicaAcks } from './replica-acks.ts';

export interface OnlyHereOptions {
  readonly replica: ReplicaStore;
  readonly acks: ReplicaAcks;
  readonly announce: (announcement: Announcement) => void;
}

/**
 * The records that this node wrote and that no peer has said to have since the process started, of every model that they
 * were written for: what would be lost with this disk.
 */
export class OnlyHere {
  readonly #options: OnlyHereOptions;

  constructor(options: OnlyHereOptions) {
    this.#options = options;
  }

  /** A row for each keygroup that has some. Takes time that grows with their number, some 0.1 µs each. */
  get rows(): OnlyHereStatus[] {
    const { replica, acks } = this.#options;
    return this.#logs().flatMap(({ log }) => {
      const records = replica.countLog(log, acks.reached(log));
      return records === 0 ? [] : [{ keygroup: log.keygroup, records }];
    });
  }

  /** Peers that have more than is known here have said so when it resolves, or `waitMs` is over. */
  async ask(waitMs: number): Promise<void> {
    const { acks, announce } = this.#options;
    const open = this.#logs().filter(({ log, last }) => acks.count(log, last) === 0);
    for (const { log, last } of open) announce({ kind: 'want', keygroup: log.keygroup, sequence: last });
    const { signal } = new AbortController();
    // Where too many wait already, what they learn is learned here, too.
    await Promise.allSettled(open.map(({ log, last }) => acks.wait(log, last, { waitMs, signal })));
  }

  #logs(): { readonly log: OriginLog; readonly last: number }[] {
    const { replica } = this.#options;
    const { nodeId, incarnation } = replica;
    return replica.logs().filter(({ log }) => log.origin === nodeId && log.incarnation === incarnation);
  }
}

import type { ContextId, KeygroupId } from '../../../domain/identifiers.ts';
import { isOf, type OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { OnlyHereStatus } from '../../replication-status.ts';
import type { Announcement } from '../peers/peer-protocol.ts';
import type { ReplicaAcks } from './replica-acks.ts';

export interface OnlyHereOptions {
  readonly replica: ReplicaStore;
  readonly acks: ReplicaAcks;
  readonly announce: (announcement: Announcement) => void;
  /** Records of an own log that no message can carry: a peer may be past one and has none of it. */
  readonly uncarried: (log: OriginLog) => ReadonlySet<number>;
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

  /** A row for each keygroup that has some. Takes time that grows with their number, some 1 µs each. */
  async rows(): Promise<OnlyHereStatus[]> {
    const { replica, acks, uncarried } = this.#options;
    const rows: OnlyHereStatus[] = [];
    for (const { log } of await this.#logs()) {
      const reached = acks.reached(log);
      const passed = [...uncarried(log)].filter((sequence) => sequence <= reached);
      const records = (await replica.countLog(log, reached)) + passed.length;
      if (records > 0) rows.push({ keygroup: log.keygroup, records });
    }
    return rows;
  }

  /** Peers that have more than is known here have said so when it resolves, or `waitMs` is over. */
  async ask(waitMs: number): Promise<void> {
    const { acks, announce } = this.#options;
    const open = (await this.#logs()).filter(({ log, last }) => acks.count(log, last) === 0);
    for (const { log, last } of open) announce({ kind: 'want', keygroup: log.keygroup, sequence: last });
    const { signal } = new AbortController();
    // Where too many wait already, what they learn is learned here, too.
    await Promise.allSettled(open.map(({ log, last }) => acks.wait(log, last, { waitMs, signal })));
  }

  /** See `SharedContexts.awaitReplicated`; of a record of one of these keygroups. */
  async awaitReplicated(
    hash: ContextId,
    keygroups: readonly KeygroupId[],
    wait: { readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<number> {
    const { replica, acks, announce, uncarried } = this.#options;
    for (const keygroup of keygroups) {
      const position = replica.positionOf(hash, keygroup);
      if (position?.log.origin !== replica.nodeId || position.log.incarnation !== replica.incarnation) continue;
      const log = { ...position.log, keygroup };
      if (acks.count(log, position.sequence) === 0) announce({ kind: 'want', keygroup, sequence: position.sequence });
      if (uncarried(log).has(position.sequence)) return 0;
      const count = await acks.wait(log, position.sequence, wait);
      return uncarried(log).has(position.sequence) ? 0 : count;
    }
    return 0;
  }

  async #logs(): Promise<{ readonly log: OriginLog; readonly last: number }[]> {
    const { replica } = this.#options;
    return (await replica.logs()).filter(({ log }) => isOf(log, replica));
  }
}

import { JetStreamApiError, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { DeletedPages } from '../../replication/publish/deleted-pages.ts';
import { recordSubject } from '../names.ts';

/** Asked of the server at once: each is read and overwritten on the disk. */
const AT_ONCE = 16;
/** Overwritten before what has been written meanwhile is published: tens of milliseconds. */
const PAGE_MESSAGES = 256;
/** JetStream's answer where a stream has no such message. */
const NO_MESSAGE_CODE = 10_037;

/** How far the stream had been written when its last message may have been overwritten, which says so no more. */
interface Noted {
  /** Another stream of that name has another. */
  readonly created: string;
  readonly streamSequence: number;
  readonly originSequence: number;
}

/** Overwrites in an own stream what was deleted or erased in the store, so that no file of the server has it. */
export class ErasedMessages {
  readonly #parts: { readonly log: OriginLog; readonly replica: ReplicaStore; readonly stream: string };
  readonly #deleted: DeletedPages;

  constructor(parts: { readonly log: OriginLog; readonly replica: ReplicaStore; readonly stream: string }) {
    this.#parts = parts;
    this.#deleted = new DeletedPages(parts);
  }

  /**
   * Some of it; false where nothing is left. `published`: all that the log has up to there has been published. Throws what
   * JetStream and the store throw.
   */
  async eraseSome(manager: JetStreamManager, published: number): Promise<boolean> {
    const { replica, stream } = this.#parts;
    const deleted = await this.#deleted.next({ limit: PAGE_MESSAGES });
    if (deleted.length === 0) return false;
    const { created, state } = await manager.streams.info(stream);
    const noted: Noted = { created, streamSequence: state.last_seq, originSequence: published };
    await replica.note(this.#noteName, JSON.stringify(noted));
    for (let at = 0; at < deleted.length; at += AT_ONCE) {
      const some = deleted.slice(at, at + AT_ONCE);
      await Promise.all(some.map((sequence) => this.#eraseOne(manager, sequence)));
      await this.#deleted.settle(some);
    }
    return true;
  }

  /** Up to where the stream, as it is now, was published; `undefined` where its last message tells. */
  publishedUpTo({ created, state }: StreamInfo): number | undefined {
    const text = this.#parts.replica.noted(this.#noteName);
    const noted: Noted | undefined = text === undefined ? undefined : JSON.parse(text);
    if (noted?.created !== created || noted.streamSequence !== state.last_seq) return undefined;
    return noted.originSequence;
  }

  get #noteName(): string {
    return `erasedMessages.${this.#parts.log.keygroup}`;
  }

  async #eraseOne(manager: JetStreamManager, originSequence: number): Promise<void> {
    const { log, stream } = this.#parts;
    const subject = recordSubject({ ...log, nodeId: log.origin, originSequence });
    try {
      const message = await manager.streams.getMessage(stream, { last_by_subj: subject });
      if (message !== null) await manager.streams.deleteMessage(stream, message.seq, true);
    } catch (error) {
      if (!(error instanceof JetStreamApiError && error.code === NO_MESSAGE_CODE)) throw error;
    }
  }
}

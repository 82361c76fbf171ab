import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';
import { type NatsConnection, TimeoutError } from '@nats-io/transport-node';
import type { Environment } from '../../../environment/environment.ts';
import { abortable } from '../../../waiting/abortable.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { Bell } from '../../../waiting/bell.ts';
import { pause } from '../../../waiting/pause.ts';
import type { LogEntry, OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { bytesToPublish } from '../../replication/delta/delta-log.ts';
import { originSequenceOf, recordSubject, recordSubjects, streamName } from '../names.ts';
import { ErasedMessages } from './erased-messages.ts';

/** Records under way to the server at once. One that is refused leaves a gap, which receivers fill by asking. */
const WINDOW = 64;
/** JetStream's answer on a slow disk. */
const ANSWER_WAIT_MS = 5_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;
/** One request without an answer is a slow disk; so many in a row mean that the server stores nothing any more. */
const UNANSWERED_MAX = 3;
const NANOSECONDS_PER_MS = 1_000_000;
/** What JetStream answers when the disk share that it was given is used up. */
const NO_ROOM_CODE = 10_023;
/** JetStream's own default; it must not be above the stream's age. Records carry no message id. */
const DUPLICATE_WINDOW_MAX_MS = 120_000;

export interface PublisherOptions {
  readonly log: OriginLog;
  readonly replica: ReplicaStore;
  /** Above the longest time a record lives. */
  readonly maxAgeMs: number;
  /** Called when the stream is ready, and again whenever it was recreated or checked again. */
  readonly onReady: (nats: NatsConnection) => void;
  /** The server takes connections and stores nothing; called again for as long as that is so. */
  readonly onStuck: () => void;
}

/** Publishes one own log, in order, as the only writer of its stream. A stream that is lost is made again from the log. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #environment: Environment;
  readonly #news: Bell;
  readonly #stream: string;
  readonly #erased: ErasedMessages;
  readonly #uncarried = new Set<number>();
  #published = 0;
  #mustLook = false;

  constructor(options: PublisherOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#news = new Bell(environment.clock);
    this.#stream = streamName({ ...options.log, nodeId: options.log.origin });
    this.#erased = new ErasedMessages({ ...options, stream: this.#stream });
  }

  get log(): OriginLog {
    return this.#options.log;
  }

  /** Sequence of the last record that the server has. */
  get published(): number {
    return this.#published;
  }

  /** Records that no message can carry: they are on this node alone. */
  get uncarried(): ReadonlySet<number> {
    const { replica, log } = this.#options;
    for (const sequence of this.#uncarried)
      if (replica.logEntry(log, sequence) === undefined) this.#uncarried.delete(sequence);
    return this.#uncarried;
  }

  /** There may be something to publish. */
  wake(): void {
    this.#news.ring();
  }

  /** A peer misses the stream. */
  lookAgain(): void {
    this.#mustLook = true;
    this.#news.ring();
  }

  /** Publishes until `signal` aborts; never rejects. */
  async run(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    let isTold = false;
    let unanswered = 0;
    const onProgress = () => {
      backOff.reset();
      unanswered = 0;
    };
    while (!signal.aborted) {
      try {
        await abortable(this.#publish(nats, signal, onProgress), signal);
        isTold = false;
      } catch (error) {
        if (signal.aborted) return;
        unanswered = error instanceof TimeoutError ? unanswered + 1 : 0;
        if (unanswered === UNANSWERED_MAX) {
          unanswered = 0;
          this.#options.onStuck();
        }
        // Where that fails, the next answer says the same.
        if (isRoomMissing(error)) await this.#makeRoom(nats).catch(() => {});
        if (!isTold) this.#environment.logger.warn('outbox_waits', { stream: this.#stream }, error);
        isTold = true;
        await pause(this.#environment.clock, backOff.next(), signal);
      }
    }
  }

  async #publish(nats: NatsConnection, signal: AbortSignal, onProgress: () => void): Promise<void> {
    const { log, replica, onReady } = this.#options;
    const manager = await jetstreamManager(nats, { checkAPI: false, timeout: ANSWER_WAIT_MS });
    const client = jetstream(nats, { timeout: ANSWER_WAIT_MS });
    this.#mustLook = false;
    await this.#ensureStream(manager);
    let published = await this.#lastPublished(manager);
    await this.#goOnAfter(published);
    // Another run may have begun meanwhile.
    signal.throwIfAborted();
    this.#published = published;
    onReady(nats);
    while (!signal.aborted && !this.#mustLook) {
      const entries = await replica.readLog(log, { after: published, limit: WINDOW });
      signal.throwIfAborted();
      if (entries.length === 0) {
        if (!(await this.#erased.eraseSome(manager, published))) await this.#news.wait(signal);
        continue;
      }
      await this.#publishAll(client, nats.info?.max_payload ?? Number.POSITIVE_INFINITY, entries);
      signal.throwIfAborted();
      published = (entries.at(-1) as LogEntry).sequence;
      this.#published = published;
      onProgress();
    }
  }

  async #publishAll(client: JetStreamClient, payloadBytesMax: number, entries: readonly LogEntry[]): Promise<void> {
    const { log, replica } = this.#options;
    const answers = await Promise.allSettled(
      entries.map(async (entry) => {
        const bytes = bytesToPublish(replica, log, entry);
        if (bytes === undefined) return;
        if (bytes.length > payloadBytesMax) {
          this.#environment.logger.error('record_not_published', { bytes: bytes.length, payloadBytesMax });
          this.#uncarried.add(entry.sequence);
          return;
        }
        const subject = recordSubject({ ...log, nodeId: log.origin, originSequence: entry.sequence });
        const { stream } = await client.publish(subject, bytes);
        if (stream !== this.#stream) throw new Error(`stream ${stream} takes the records of ${this.#stream}`);
      }),
    );
    // All have been answered, so nothing of this window can come in after the last message has been looked at.
    for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  }

  async #ensureStream(manager: JetStreamManager): Promise<void> {
    const { log, maxAgeMs } = this.#options;
    const subject = recordSubjects({ ...log, nodeId: log.origin });
    const config = {
      subjects: [subject],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      max_age: maxAgeMs * NANOSECONDS_PER_MS,
      duplicate_window: Math.min(maxAgeMs, DUPLICATE_WINDOW_MAX_MS) * NANOSECONDS_PER_MS,
    };
    // The stream of an earlier disk of this node stands in the way of this one's.
    for await (const name of manager.streams.names(subject)) {
      if (name === this.#stream) continue;
      this.#environment.logger.info('old_stream_deleted', { stream: name });
      await manager.streams.delete(name);
    }
    try {
      const { config: found } = await manager.streams.info(this.#stream);
      if (found.max_age !== config.max_age) await manager.streams.update(this.#stream, config);
    } catch (error) {
      if (!isStreamMissing(error)) throw error;
      await manager.streams.add({ name: this.#stream, ...config });
    }
  }

  /** 0 when the stream holds nothing: then everything is published again, and receivers skip what they know. */
  async #lastPublished(manager: JetStreamManager): Promise<number> {
    const info = await manager.streams.info(this.#stream);
    const { state } = info;
    const noted = this.#erased.publishedUpTo(info);
    if (noted !== undefined) return noted;
    if (state.messages === 0) return 0;
    const message = await manager.streams.getMessage(this.#stream, { seq: state.last_seq });
    const sequence = message === null ? undefined : originSequenceOf(message.subject);
    if (sequence !== undefined) return sequence;
    // Something else has written to it; it can be recreated from the log.
    await manager.streams.delete(this.#stream);
    throw new Error(`the last message of stream ${this.#stream} is not a record`);
  }

  /** The older half goes: who has not read it asks this node. By halves, so that it is rare. */
  async #makeRoom(nats: NatsConnection): Promise<void> {
    const manager = await jetstreamManager(nats, { checkAPI: false, timeout: ANSWER_WAIT_MS });
    const { state } = await manager.streams.info(this.#stream);
    // The last one tells where to go on.
    const keep = Math.max(1, Math.floor(state.messages / 2));
    const { purged } = await manager.streams.purge(this.#stream, { keep });
    this.#environment.logger.info('stream_shortened', { stream: this.#stream, purged });
  }

  /** A stream that is ahead of the log tells that an older copy of this node's disk was put back. */
  async #goOnAfter(published: number): Promise<void> {
    const { log, replica } = this.#options;
    const from = replica.cursor(log);
    if (published <= from.sequence) return;
    this.#environment.logger.error('store_rolled_back', { last: from.sequence, published });
    await replica.receive({ log, records: [], from, to: { ...from, sequence: published } });
  }
}

export function isStreamMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
}

function isRoomMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === NO_ROOM_CODE;
}

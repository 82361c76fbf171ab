import type { NatsConnection } from '@nats-io/transport-node';
import type { NodeId } from '../../../domain/identifiers.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import { NewerRecord } from '../../../domain/record/record-version.ts';
import type { Environment } from '../../../environment/environment.ts';
import { abortable } from '../../../waiting/abortable.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { Bell } from '../../../waiting/bell.ts';
import { pause } from '../../../waiting/pause.ts';
import type { LogCursor, OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { recordAt } from '../../replication/delta/delta-log.ts';
import { DeltaUnreadable } from '../../replication/delta/delta-record.ts';
import { failureText } from '../../replication/failure-text.ts';
import type { Applier } from '../../replication/pull/applier.ts';
import { backFill, type Holder, SkippedRecords } from '../../replication/pull/back-fill.ts';
import { afterDelivery, isBehind, pullStep, StallWatch } from '../../replication/pull/pull-position.ts';
import { SignerUnknown } from '../../replication/signatures/known-signers.ts';
import { keygroupSubjects, streamName } from '../names.ts';
import { isStreamMissing } from '../publish/publisher.ts';
import { Deliveries, type Delivery } from './deliveries.ts';
import { StreamReader } from './stream-reader.ts';

/** Records opened at a stretch: each takes some 70 µs, 250 where signatures are verified, and replies under way must not stall. */
const AT_A_STRETCH = 32;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;
/** A stream that is missing is announced when it comes; an announcement can be lost. */
const LOOK_AGAIN_MS = 15_000;
/** A record that this build does not read: only an upgrade, or the end of its session, lets the log go on. */
const NEWER_AGAIN_MS = 300_000;

export interface PullLoopOptions {
  readonly log: OriginLog;
  /** Prefix of the JetStream API that serves the log's stream. */
  readonly api: string;
  readonly nodeId: NodeId;
  /** This node's certificate lists what it may read, so servers want to hear what that is. */
  readonly isLimited: boolean;
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  /** The log's origin. */
  readonly origin: Holder;
  /** Others that may hold records of it, asked while it does not answer. */
  readonly otherHolders: () => Holder[];
  /** The origin's last sequence, as far as it has said. */
  readonly knownLast: () => number;
  /** Tells the origin that its stream is missing. */
  readonly onStreamMissing: () => void;
  /** After each batch: the log's cursor and how many messages the stream still holds. */
  readonly onProgress: (cursor: LogCursor, pending: number) => void;
}

/**
 * Follows one stream of a peer: pulls from where the cursor in the replica is, through a consumer that is recreated at each
 * start, gap and surprise. Nothing is acknowledged to the server; the cursor is all there is to remember.
 */
export class PullLoop {
  readonly #options: PullLoopOptions;
  readonly #environment: Environment;
  readonly #stream: string;
  readonly #news: Bell;
  readonly #stall = new StallWatch();
  #deliveries: Deliveries | undefined;

  constructor(options: PullLoopOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#stream = streamName({ ...options.log, nodeId: options.log.origin });
    this.#news = new Bell(environment.clock);
  }

  get log(): OriginLog {
    return this.#options.log;
  }

  /** The stream has been announced: a loop that waits for it looks now. */
  wake(): void {
    this.#news.ring();
  }

  /** The origin has said how far it is: what its stream does not bring is asked for. */
  lookBehind(): void {
    this.#deliveries?.nudge();
  }

  /** The origin has published so many. A server behind a hub can forget a consumer, and nothing on this side tells. */
  noteBeacon(published: number): void {
    if (this.#heldAt === undefined && this.#stall.isStalled(this.#options.replica.cursor(this.log), published))
      this.startOver('it fell behind');
  }

  /** What was asked for may have been forgotten on the way. */
  startOver(why: string): void {
    this.#deliveries?.fail(new Error(why));
    this.#news.ring();
  }

  /** Follows until `signal` aborts; never rejects. */
  async run(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    while (!signal.aborted) {
      const following = this.#follow(nats, signal, () => backOff.reset());
      const error = await abortable(following, signal).catch((reason: unknown) => reason);
      if (signal.aborted) return;
      this.#environment.logger.debug('pull_restarted', { stream: this.#stream, why: failureText(error) });
      const isMissing = isStreamMissing(error);
      if (isMissing) this.#options.onStreamMissing();
      const waitMs = isMissing ? LOOK_AGAIN_MS : error instanceof NewerRecord ? NEWER_AGAIN_MS : backOff.next();
      // The stream that was announced meanwhile is the one that was just read.
      if (error instanceof NewerRecord) this.#news.hush();
      await this.#news.wait(signal, waitMs);
    }
  }

  async #follow(nats: NatsConnection, signal: AbortSignal, onProgress: () => void): Promise<void> {
    const { log, api, nodeId, isLimited, replica, origin, otherHolders: others, onProgress: report } = this.#options;
    const heldAt = this.#heldAt;
    if (heldAt !== undefined) await this.#takeThrough(heldAt).catch((error) => this.#noBackFill(error));
    await this.#takeKnownGaps();
    const subjects = isLimited ? keygroupSubjects(log.keygroup) : undefined;
    const reader = new StreamReader({ api, stream: this.#stream, nodeId, subjects }, nats);
    let pending = await reader.begin(replica.cursor(log).streamSequence + 1);
    if (pending === 0) {
      // Either all is read, or the stream was recreated and is shorter than the one that the cursor was counted in: then
      // such a consumer would stay silent until the stream is as long. One that begins at the end misses nothing that is
      // yet to come, and for what came before there is the origin; a greeting makes up for its silence.
      await reader.begin('new');
      await this.#takeThrough(Number.MAX_SAFE_INTEGER).catch((error) => this.#noBackFill(error));
    }
    report(replica.cursor(log), pending);

    signal.throwIfAborted();
    const deliveries = new Deliveries(this.#environment, signal);
    this.#deliveries = deliveries;
    const stopReading = reader.readInto(deliveries);
    try {
      const skipped = new SkippedRecords(log, { origin, others }, this.#options);
      for (;;) {
        const batch = await deliveries.next();
        await this.#take(batch, skipped);
        pending = batch.at(-1)?.pending ?? pending;
        if (batch.length === 0 && isBehind(replica.cursor(log), { pending, last: this.#options.knownLast() }))
          await this.#takeThrough(this.#options.knownLast());
        onProgress();
        report(replica.cursor(log), pending);
      }
    } finally {
      stopReading();
      deliveries.end();
    }
  }

  /** Takes in what came, in runs without gaps; what lies between two runs is settled with the origin. */
  async #take(deliveries: readonly Delivery[], skipped: SkippedRecords): Promise<void> {
    const { log, replica, applier } = this.#options;
    const peer = log.origin;
    const from = replica.cursor(log);
    let to = from;
    const run = new Map<number, SealedRecord>();
    const refused: number[] = [];
    const takeRun = async () => {
      const records = [...run].map(([sequence, sealed]) => ({ sequence, sealed }));
      if (to !== from) await applier.take({ log, records, refused, from, to });
    };
    for (const [index, delivery] of deliveries.entries()) {
      const { sequence, bytes } = delivery;
      const step = pullStep(to, delivery);
      if (step === 'skipped') {
        await takeRun();
        const rest = (await skipped.settle(sequence)) ? index : index + 1;
        if (rest > index) applier.refuse(peer, 'unknown_sequence');
        return this.#take(deliveries.slice(rest), skipped);
      }
      if (sequence === 0) applier.refuse(peer, 'unknown_sequence');
      if (step === 'next') {
        const turnAt = (distance: number) =>
          run.get(sequence - distance) ?? recordAt(replica, log, sequence - distance);
        let sealed: SealedRecord | undefined;
        try {
          sealed = applier.open({ log, sequence, peer, bytes, turnAt });
        } catch (error) {
          const isToBeAsked = error instanceof DeltaUnreadable || error instanceof SignerUnknown;
          if (!(isToBeAsked || error instanceof NewerRecord)) throw error;
          await takeRun();
          if (error instanceof NewerRecord) throw error;
          await this.#takeWhole(delivery);
          return this.#take(deliveries.slice(index + 1), skipped);
        }
        if (sealed === undefined) refused.push(sequence);
        else run.set(sequence, sealed);
      }
      to = afterDelivery(to, delivery);
      // Something else may be waiting for its turn.
      if (index % AT_A_STRETCH === AT_A_STRETCH - 1) await pause(this.#environment.clock, 0);
    }
    await takeRun();
  }

  /** Asks the origin for the record, whole, and its key, where what came cannot be read here; there is none when the record is gone. */
  async #takeWhole(delivery: Delivery): Promise<void> {
    const { log, replica, applier, origin } = this.#options;
    const { sequence } = delivery;
    const { records } = await origin.fetch(log, [sequence]);
    const bytes = records.find((record) => record.sequence === sequence)?.bytes;
    const sealed = bytes && (await applier.openFrom(origin, { log, sequence, bytes }));
    const from = replica.cursor(log);
    const sound = sealed === undefined ? [] : [{ sequence, sealed }];
    const refused = bytes !== undefined && sealed === undefined ? [sequence] : [];
    await applier.take({ log, records: sound, refused, from, to: afterDelivery(from, delivery) });
  }

  /** Others may have handed out some of the log while its origin was away; what is between is asked for first. */
  async #takeKnownGaps(): Promise<void> {
    const { log, replica } = this.#options;
    const state = await replica.logState(log);
    if (state.last <= state.cursor.sequence) return;
    // The stream has it all, too: without an answer some records only come twice.
    await this.#takeThrough(state.last).catch((error) => this.#noBackFill(error));
  }

  /** The record at which the log waits for an upgrade of this node. */
  get #heldAt(): number | undefined {
    return this.#options.applier.held.at(this.log);
  }

  /** The stream may bring what the origin does not hand out; but not past a record that this build does not read. */
  #noBackFill(error: unknown): void {
    if (error instanceof NewerRecord) throw error;
    this.#environment.logger.debug('back_fill_failed', { origin: this.log.origin, why: failureText(error) });
  }

  async #takeThrough(through: number): Promise<void> {
    const { log, replica, origin } = this.#options;
    const after = replica.cursor(log).sequence;
    await backFill({ log, holder: origin, after, through, isOrigin: true }, this.#options);
  }
}

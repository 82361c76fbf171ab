import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
} from '@nats-io/jetstream';
import { createInbox, type Msg, type NatsConnection } from '@nats-io/transport-node';
import type { NodeId } from '../../domain/identifiers.ts';
import { LeanFormUnreadable } from '../../domain/lean-record.ts';
import type { SealedRecord } from '../../domain/record-codec.ts';
import type { Environment } from '../../environment/environment.ts';
import type { LogCursor, OriginLog } from '../lmdb/origin-log.ts';
import type { ReplicaStore } from '../lmdb.ts';
import { backFill, type Holder, SkippedRecords } from './back-fill.ts';
import type { Intake } from './intake.ts';
import { recordAt } from './lean-log.ts';
import { consumerName, inboxPrefix, originSequenceOf, streamName } from './names.ts';
import { isStreamMissing } from './outbox-lane.ts';
import { abortable, BackOff, Bell } from './pause.ts';
import { sameLog } from './peer-protocol.ts';
import { afterDelivery, type Delivered, isBehind, pullStep } from './pull-position.ts';

/** Messages asked for and not yet come. A server sends them as fast as the line allows, so this bounds the memory. */
const PULL_MESSAGES = 500;
/** Asked again when so few are open, so that the line never waits for a request. */
const PULL_AGAIN_AT = 250;
const PULL_EXPIRES_MS = 300_000;
/** A request that has not even expired by now was lost. */
const SILENCE_MAX_MS = PULL_EXPIRES_MS + 5_000;
/** The consumer of a node that stays away goes by itself. */
const CONSUMER_INACTIVE_MS = 7 * 86_400_000;
const ANSWER_WAIT_MS = 5_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;
/** A stream that is missing is announced when it comes; an announcement can be lost. */
const LOOK_AGAIN_MS = 15_000;
const NANOSECONDS_PER_MS = 1_000_000;
/** JetStream's status for a pull request that has expired. */
const REQUEST_EXPIRED = 408;

export interface PullLoopOptions {
  readonly log: OriginLog;
  readonly nodeId: NodeId;
  readonly replica: ReplicaStore;
  readonly intake: Intake;
  /** The log's origin. */
  readonly origin: Holder;
  /** The origin's last sequence, as far as it has said. */
  readonly knownLast: () => number;
  /** Tells the origin that its stream is missing. */
  readonly onStreamMissing: () => void;
  /** After each batch: the log's cursor and how many messages the stream still holds. */
  readonly onProgress: (cursor: LogCursor, pending: number) => void;
}

interface Delivery extends Delivered {
  readonly bytes: Uint8Array;
  readonly pending: number;
}

/**
 * Follows one stream of a peer: pulls from where the cursor in the replica is, through a consumer that is made anew at each
 * start, gap and surprise. Nothing is acknowledged to the server; the cursor is all there is to remember.
 */
export class PullLoop {
  readonly #options: PullLoopOptions;
  readonly #environment: Environment;
  readonly #stream: string;
  readonly #news: Bell;
  #arrivals: Arrivals | undefined;

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
    this.#arrivals?.nudge();
  }

  /** Follows until `signal` aborts; never rejects. */
  async run(nats: NatsConnection, signal: AbortSignal): Promise<void> {
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    while (!signal.aborted) {
      const missing = await abortable(
        this.#follow(nats, signal, () => backOff.reset()),
        signal,
      ).then(
        () => false,
        (error) => {
          if (!signal.aborted)
            this.#environment.log.debug('pull_restarted', { stream: this.#stream, why: text(error) });
          return isStreamMissing(error);
        },
      );
      if (signal.aborted) return;
      if (missing) this.#options.onStreamMissing();
      await this.#news.wait(signal, missing ? LOOK_AGAIN_MS : backOff.next());
    }
  }

  async #follow(nats: NatsConnection, signal: AbortSignal, onProgress: () => void): Promise<void> {
    const { log, nodeId, replica, onProgress: report } = this.#options;
    await this.#takeKnownGaps();
    const manager = await jetstreamManager(nats, { checkAPI: false, timeout: ANSWER_WAIT_MS });
    const consumer = consumerName(nodeId);
    const next = replica.cursor(log).streamSequence + 1;
    const from = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: next };
    const { num_pending } = await makeConsumer(manager, this.#stream, { durable_name: consumer, ...from });
    if (num_pending === 0) {
      // Either all is read, or the stream was made anew and is shorter than the one that the cursor was counted in: then
      // such a consumer would stay silent until the stream is as long. One that begins at the end misses nothing that is
      // yet to come, and for what came before there is the origin; a greeting makes up for its silence.
      await makeConsumer(manager, this.#stream, { durable_name: consumer, deliver_policy: DeliverPolicy.New });
      await this.#takeThrough(Number.MAX_SAFE_INTEGER).catch((error) => this.#noBackFill(error));
    }
    report(replica.cursor(log), num_pending);

    signal.throwIfAborted();
    const arrivals = new Arrivals(this.#environment, signal);
    this.#arrivals = arrivals;
    const inbox = createInbox(inboxPrefix(nodeId));
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${consumer}`;
    let open = 0;
    let consumerSequence = 0;
    const pull = () => {
      const batch = PULL_MESSAGES - open;
      open += batch;
      const expires = PULL_EXPIRES_MS * NANOSECONDS_PER_MS;
      nats.publish(subject, JSON.stringify({ batch, expires }), { reply: inbox });
      arrivals.expectWithin(SILENCE_MAX_MS);
    };
    const subscription = nats.subscribe(inbox, {
      callback(error, message) {
        if (error !== null) {
          arrivals.fail(error);
          return;
        }
        const place = placeOf(message);
        if (place === undefined) {
          if (message.headers?.code !== REQUEST_EXPIRED) {
            arrivals.fail(new Error(`status ${message.headers?.code} ${message.headers?.description}`));
            return;
          }
          open = 0;
          pull();
          return;
        }
        if (place.consumerSequence !== ++consumerSequence) {
          arrivals.fail(new Error('messages were lost'));
          return;
        }
        arrivals.add({
          sequence: originSequenceOf(message.subject) ?? 0,
          streamSequence: place.streamSequence,
          pending: place.pending,
          bytes: message.data,
        });
        if (--open <= PULL_AGAIN_AT) pull();
      },
    });
    try {
      pull();
      const skipped = new SkippedRecords(log, this.#options.origin, this.#options);
      let pending = num_pending;
      for (;;) {
        const deliveries = await arrivals.next();
        await this.#take(deliveries, skipped);
        pending = deliveries.at(-1)?.pending ?? pending;
        if (deliveries.length === 0 && isBehind(replica.cursor(log), { pending, last: this.#options.knownLast() }))
          await this.#takeThrough(this.#options.knownLast());
        onProgress();
        report(replica.cursor(log), pending);
      }
    } finally {
      subscription.unsubscribe();
      arrivals.end();
    }
  }

  /** Takes in what came, in runs without gaps; what lies between two runs is settled with the origin. */
  async #take(deliveries: readonly Delivery[], skipped: SkippedRecords): Promise<void> {
    const { log, replica, intake } = this.#options;
    const peer = log.origin;
    const from = replica.cursor(log);
    let to = from;
    const run = new Map<number, SealedRecord>();
    const takeRun = async () => {
      const records = [...run].map(([sequence, sealed]) => ({ sequence, sealed }));
      if (to !== from) await intake.take({ log, records, from, to });
    };
    for (const [index, delivery] of deliveries.entries()) {
      const { sequence, bytes } = delivery;
      const step = pullStep(to, delivery);
      if (step === 'skipped') {
        await takeRun();
        const rest = (await skipped.settle(sequence)) ? index : index + 1;
        if (rest > index) intake.refuse(peer, 'unknown_sequence');
        return this.#take(deliveries.slice(rest), skipped);
      }
      if (sequence === 0) intake.refuse(peer, 'unknown_sequence');
      if (step === 'next') {
        const turnAt = (distance: number) =>
          run.get(sequence - distance) ?? recordAt(replica, log, sequence - distance);
        let sealed: SealedRecord | undefined;
        try {
          sealed = intake.open({ log, peer, bytes, turnAt });
        } catch (error) {
          if (!(error instanceof LeanFormUnreadable)) throw error;
          await takeRun();
          await this.#takeWhole(delivery);
          return this.#take(deliveries.slice(index + 1), skipped);
        }
        if (sealed !== undefined) run.set(sequence, sealed);
      }
      to = afterDelivery(to, delivery);
    }
    await takeRun();
  }

  /** Asks the origin for a record whose lean form says nothing here; it answers with nothing when the record is gone. */
  async #takeWhole(delivery: Delivery): Promise<void> {
    const { log, replica, intake, origin } = this.#options;
    const { sequence } = delivery;
    const { records } = await origin.fetch(log, [sequence]);
    const bytes = records.find((record) => record.sequence === sequence)?.bytes;
    const sealed = bytes && intake.open({ log, peer: origin.nodeId, bytes });
    const from = replica.cursor(log);
    const sound = sealed === undefined ? [] : [{ sequence, sealed }];
    await intake.take({ log, records: sound, from, to: afterDelivery(from, delivery) });
  }

  /** Others may have handed out some of the log while its origin was away; what is between is asked for first. */
  async #takeKnownGaps(): Promise<void> {
    const { log, replica } = this.#options;
    const state = replica.logs().find((held) => sameLog(held.log, log));
    if (state === undefined || state.last <= state.cursor.sequence) return;
    // The stream has it all, too: without an answer some records only come twice.
    await this.#takeThrough(state.last).catch((error) => this.#noBackFill(error));
  }

  #noBackFill(error: unknown): void {
    this.#environment.log.debug('back_fill_failed', { origin: this.log.origin, why: text(error) });
  }

  async #takeThrough(through: number): Promise<void> {
    const { log, replica, origin } = this.#options;
    const after = replica.cursor(log).sequence;
    await backFill({ log, holder: origin, after, through, isOrigin: true }, this.#options);
  }
}

/** What has come and was not yet taken, in order; ends with the first failure. */
class Arrivals {
  readonly #environment: Environment;
  readonly #failed = new AbortController();
  readonly #bell: Bell;
  #waiting: Delivery[] = [];
  #isNudged = false;
  #cancelSilence = () => {};

  constructor(environment: Environment, signal: AbortSignal) {
    this.#environment = environment;
    this.#bell = new Bell(environment.clock);
    signal.addEventListener('abort', () => this.fail(new Error('connection lost')), { signal: this.#failed.signal });
    if (signal.aborted) this.fail(new Error('connection lost'));
  }

  add(delivery: Delivery): void {
    this.#waiting.push(delivery);
    this.#bell.ring();
  }

  /** Lets {@link next} return although nothing came. */
  nudge(): void {
    this.#isNudged = true;
    this.#bell.ring();
  }

  fail(error: Error): void {
    this.#failed.abort(error);
  }

  /** Fails when nothing is asked again within this time. */
  expectWithin(silenceMs: number): void {
    this.#cancelSilence();
    this.#cancelSilence = this.#environment.clock.after(silenceMs, () => this.fail(new Error('the peer is silent')));
  }

  /** All that waits, none after a nudge; throws the failure once nothing does. */
  async next(): Promise<Delivery[]> {
    while (this.#waiting.length === 0 && !this.#isNudged) {
      this.#failed.signal.throwIfAborted();
      await this.#bell.wait(this.#failed.signal);
    }
    this.#isNudged = false;
    return this.#waiting.splice(0);
  }

  end(): void {
    this.#cancelSilence();
    this.#failed.abort();
  }
}

/** `$JS.ACK.[domain.account.]stream.consumer.deliveries.streamSequence.consumerSequence.time.pending[.token]`. */
function placeOf({ reply }: Msg): { streamSequence: number; consumerSequence: number; pending: number } | undefined {
  if (reply === undefined || !reply.startsWith('$JS.ACK.')) return undefined;
  const tokens = reply.split('.');
  const first = tokens.length > 9 ? 7 : 5;
  const [streamSequence, consumerSequence, , pending] = tokens.slice(first).map(Number);
  return { streamSequence, consumerSequence, pending } as ReturnType<typeof placeOf>;
}

/** Makes a consumer of this name anew. */
async function makeConsumer(
  manager: JetStreamManager,
  stream: string,
  config: Partial<ConsumerConfig> & { readonly durable_name: string },
): Promise<ConsumerInfo> {
  try {
    await manager.consumers.delete(stream, config.durable_name);
  } catch (error) {
    if (!(error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound)) throw error;
  }
  return manager.consumers.add(stream, {
    ...config,
    ack_policy: AckPolicy.None,
    inactive_threshold: CONSUMER_INACTIVE_MS * NANOSECONDS_PER_MS,
    max_waiting: 4,
  });
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

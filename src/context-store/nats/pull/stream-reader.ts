import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  jetstreamManager,
} from '@nats-io/jetstream';
import { createInbox, type Msg, type NatsConnection } from '@nats-io/transport-node';
import type { NodeId } from '../../../domain/identifiers.ts';
import { RECORD_BYTES_MAX } from '../../../domain/record/record-codec.ts';
import { consumerName, inboxPrefix, originSequenceOf } from '../names.ts';
import type { Deliveries } from './deliveries.ts';

/**
 * Messages asked for and not yet taken in. A server sends them as fast as the line allows, which can be faster than the disk,
 * so this bounds the memory.
 */
export const PULL_MESSAGES = 1_000;
/** Asked again as soon as there is room for so many: rarely, and yet the line does not wait for a request. */
export const PULL_AGAIN_MESSAGES = 500;
/**
 * And their bytes: as much again may come while so much waits to be taken in. At least the largest message, which the server would
 * never send otherwise.
 */
export const PULL_BYTES = 2 * RECORD_BYTES_MAX;
const PULL_EXPIRES_MS = 300_000;
/** A request that has not even expired by now was lost. */
const SILENCE_MAX_MS = PULL_EXPIRES_MS + 5_000;
/** The consumer of a node that stays away goes by itself. */
const CONSUMER_INACTIVE_MS = 7 * 86_400_000;
const ANSWER_WAIT_MS = 5_000;
const NANOSECONDS_PER_MS = 1_000_000;
/** JetStream's status for a pull request that has expired, for one that has ended for another reason, and the header that says how many messages were missing to it. */
const REQUEST_EXPIRED = 408;
const REQUEST_ENDED = 409;
const PENDING_HEADER = 'Nats-Pending-Messages';

export interface StreamReaderOptions {
  /** Prefix of the JetStream API that serves the stream. */
  readonly api: string;
  readonly stream: string;
  /** Who reads. */
  readonly nodeId: NodeId;
  /** Named by a node that may read nothing else; the stream holds no other subjects. */
  readonly subjects?: string | undefined;
}

/** Reads a stream of a peer through a consumer of this node's name, which is recreated for each reading. */
export class StreamReader {
  readonly #options: StreamReaderOptions;
  readonly #nats: NatsConnection;
  readonly #consumer: string;

  constructor(options: StreamReaderOptions, nats: NatsConnection) {
    this.#options = options;
    this.#nats = nats;
    this.#consumer = consumerName(options.nodeId);
  }

  /** Begins at a stream sequence, or with what is yet to come. Returns how many messages there are; throws when there is no stream. */
  async begin(next: number | 'new'): Promise<number> {
    const from: Partial<ConsumerConfig> =
      next === 'new'
        ? { deliver_policy: DeliverPolicy.New }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: next };
    const { num_pending } = await this.#makeConsumer(from);
    return num_pending;
  }

  /** Asks for messages until the returned function is called; they, or the failure, go to `deliveries`. */
  readInto(deliveries: Deliveries): () => void {
    const { api, stream, nodeId } = this.#options;
    const nats = this.#nats;
    const inbox = createInbox(inboxPrefix(nodeId));
    const subject = `${api}.CONSUMER.MSG.NEXT.${stream}.${this.#consumer}`;
    let open = 0;
    let consumerSequence = 0;
    const pull = () => {
      const batch = PULL_MESSAGES - open - deliveries.held;
      if (batch < PULL_AGAIN_MESSAGES || deliveries.heldBytes >= PULL_BYTES) return;
      open += batch;
      const expires = PULL_EXPIRES_MS * NANOSECONDS_PER_MS;
      nats.publish(subject, JSON.stringify({ batch, expires, max_bytes: PULL_BYTES }), { reply: inbox });
      deliveries.expectWithin(SILENCE_MAX_MS);
    };
    const subscription = nats.subscribe(inbox, {
      callback(error, message) {
        if (error !== null) {
          deliveries.fail(error);
          return;
        }
        const place = placeOf(message);
        if (place === undefined) {
          if (!isOver(message)) {
            deliveries.fail(new Error(`status ${message.headers?.code} ${message.headers?.description}`));
            return;
          }
          open = Math.max(0, open - expired(message));
          pull();
          return;
        }
        if (place.consumerSequence !== ++consumerSequence) {
          deliveries.fail(new Error('messages were lost'));
          return;
        }
        if (open === 0) {
          deliveries.fail(new Error('more came than was asked for'));
          return;
        }
        deliveries.add({
          sequence: originSequenceOf(message.subject) ?? 0,
          streamSequence: place.streamSequence,
          pending: place.pending,
          bytes: message.data,
        });
        open--;
      },
    });
    deliveries.onTaken = pull;
    pull();
    return () => subscription.unsubscribe();
  }

  async #makeConsumer(from: Partial<ConsumerConfig>): Promise<ConsumerInfo> {
    const { api, stream, subjects } = this.#options;
    const manager = await jetstreamManager(this.#nats, { checkAPI: false, timeout: ANSWER_WAIT_MS, apiPrefix: api });
    try {
      await manager.consumers.delete(stream, this.#consumer);
    } catch (error) {
      if (!(error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound)) throw error;
    }
    return manager.consumers.add(stream, {
      durable_name: this.#consumer,
      ...from,
      ...(subjects !== undefined && { filter_subject: subjects }),
      ack_policy: AckPolicy.None,
      inactive_threshold: CONSUMER_INACTIVE_MS * NANOSECONDS_PER_MS,
      max_waiting: 4,
    });
  }
}

/** Whether a request has ended as it may: of age, or because its bytes are used up. */
function isOver({ headers }: Msg): boolean {
  if (headers?.code === REQUEST_ENDED) return headers.description.toLowerCase().includes('maxbytes');
  return headers?.code === REQUEST_EXPIRED;
}

/** Messages that are not to be expected any more; all where the server does not say. */
function expired({ headers }: Msg): number {
  const pending = Number.parseInt(headers?.get(PENDING_HEADER) ?? '', 10);
  return Number.isNaN(pending) ? PULL_MESSAGES : pending;
}

/** `$JS.ACK.[domain.account.]stream.consumer.deliveries.streamSequence.consumerSequence.time.pending[.token]`. */
function placeOf({ reply }: Msg): { streamSequence: number; consumerSequence: number; pending: number } | undefined {
  if (reply === undefined || !reply.startsWith('$JS.ACK.')) return undefined;
  const tokens = reply.split('.');
  const first = tokens.length > 9 ? 7 : 5;
  const [streamSequence, consumerSequence, , pending] = tokens.slice(first).map(Number);
  return { streamSequence, consumerSequence, pending } as ReturnType<typeof placeOf>;
}

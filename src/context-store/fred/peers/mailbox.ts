import type { NodeId } from '../../../domain/identifiers.ts';
import type { Clock, Environment, Logger } from '../../../environment/environment.ts';
import { failureText } from '../../replication/failure-text.ts';
import type { PeerChannel } from '../../replication/peers/peer-calls.ts';
import { itemId, nodeCode, startCode } from '../names.ts';
import { packedLength } from '../seven-bit.ts';
import type { FredClient } from '../wire/fred-client.ts';
import { decodeEnvelope, type Envelope, encodeEnvelope } from './envelope.ts';

/** Where a node is told something: a keygroup that its FReD node alone holds. */
export interface Box {
  readonly nodeId: NodeId;
  readonly client: FredClient;
  readonly keygroup: string;
  /** Called for each message with its length in characters. */
  readonly onSent?: (characters: number) => void;
}

export interface MailboxOptions {
  readonly nodeId: NodeId;
  /** The box of a node that may ask; of one that is not known yet, once it has been looked for. */
  readonly boxOf: (nodeId: NodeId) => Promise<Box | undefined>;
  /** `undefined` where there is none. */
  readonly answer: (data: Uint8Array) => Promise<Uint8Array | undefined>;
  readonly onAnnouncement: (from: NodeId, data: Uint8Array) => void;
}

/** Questions of this node that wait for an answer, and of others that wait for this node's. */
const UNDER_WAY_MAX = 1_000;
/** Of a message that needs no answer. */
const SEND_MS = 5_000;
const NOTHING = new Uint8Array();
/** Of the first message's number, which is chance. */
const NUMBER_BYTES = 6;

/** A question. */
interface Waiting {
  readonly from: NodeId;
  readonly answered: (data: Uint8Array) => void;
  readonly fail: (error: Error) => void;
}

/**
 * What nodes say to each other over FReD: each message is an item of its own, written once, at the FReD node of whom it is for, whose
 * trigger tells of it. It expires there. An id is never used again, so no message can be taken for an earlier one.
 */
export class Mailbox {
  readonly #options: MailboxOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #start: string;
  readonly #waiting = new Map<number, Waiting>();
  /** Questions of an earlier start have other numbers: their answers may still come. */
  #sent: number;
  #isClosed = false;
  #answering = 0;

  constructor(options: MailboxOptions, { clock, logger, random }: Environment) {
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#start = startCode(random.bytes(4));
    this.#sent = Buffer.from(random.bytes(NUMBER_BYTES)).readUIntBE(0, NUMBER_BYTES);
  }

  /** To a node with this box. */
  channel(box: Box): PeerChannel {
    return {
      request: (data, waitMs) => this.#ask(box, 'question', data, waitMs),
      send: (data) => this.#send(box, { kind: 'tell', number: 0, data }),
      roundTripMs: async () => {
        const askedMs = this.#clock.monotonic();
        await this.#ask(box, 'ping', NOTHING, SEND_MS);
        return this.#clock.monotonic() - askedMs;
      },
    };
  }

  announce(box: Box, data: Uint8Array): void {
    this.#send(box, { kind: 'announcement', number: 0, data });
  }

  /** Questions that wait for an answer fail, and later ones at once. */
  close(): void {
    this.#isClosed = true;
    for (const { fail } of this.#waiting.values()) fail(closes());
  }

  /** An item has come into this node's box. */
  heard(value: string): void {
    const envelope = decodeEnvelope(value);
    if (envelope === undefined) return;
    const { kind, from, number, data } = envelope;
    switch (kind) {
      case 'answer': {
        const waiting = this.#waiting.get(number);
        if (waiting?.from === from) waiting.answered(data);
        return;
      }
      case 'announcement':
        this.#options.onAnnouncement(from, data);
        return;
      case 'tell':
        this.#answer(envelope, async () => undefined);
        return;
      default:
        this.#answer(envelope, () => this.#options.boxOf(from));
    }
  }

  #answer(envelope: Envelope, boxOf: () => Promise<Box | undefined>): void {
    if (this.#answering >= UNDER_WAY_MAX) return;
    this.#answering++;
    this.#answered(envelope, boxOf)
      .catch((error) => this.#logger.warn('peer_request_failed', {}, error))
      .finally(() => this.#answering--);
  }

  async #answered({ kind, number, data }: Envelope, boxOf: () => Promise<Box | undefined>): Promise<void> {
    const box = await boxOf();
    const answer = kind === 'ping' ? NOTHING : await this.#options.answer(data);
    if (answer !== undefined && box !== undefined) this.#send(box, { kind: 'answer', number, data: answer });
  }

  #ask(box: Box, kind: 'question' | 'ping', data: Uint8Array, waitMs: number): Promise<Uint8Array> {
    if (this.#isClosed) return Promise.reject(closes());
    if (this.#waiting.size >= UNDER_WAY_MAX) return Promise.reject(new Error('too many questions wait for an answer'));
    const number = this.#sent + 1;
    return new Promise((resolve, reject) => {
      const end = () => {
        cancelTimer();
        this.#waiting.delete(number);
      };
      const fail = (error: unknown) => {
        end();
        reject(error);
      };
      const cancelTimer = this.#clock.after(waitMs, () => fail(new NoAnswer(waitMs)));
      const answered = (answer: Uint8Array) => {
        end();
        resolve(answer);
      };
      this.#waiting.set(number, { from: box.nodeId, answered, fail });
      this.#put(box, { kind, number, data }, waitMs).catch(fail);
    });
  }

  #send(box: Box, message: Omit<Envelope, 'from'>): void {
    this.#put(box, message, SEND_MS).catch((error) =>
      this.#logger.debug('message_not_sent', { why: failureText(error) }),
    );
  }

  async #put(box: Box, message: Omit<Envelope, 'from'>, callMs: number): Promise<void> {
    const { nodeId } = this.#options;
    const id = itemId({ nodeCode: nodeCode(nodeId), start: this.#start, number: ++this.#sent });
    const value = encodeEnvelope({ ...message, from: nodeId });
    box.onSent?.(packedLength(message.data.length));
    await box.client.update({ keygroup: box.keygroup, id, value }, { callMs });
  }
}

function closes(): Error {
  return new Error('this node closes');
}

/** The message was taken, and nothing came back. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';

  constructor(waitMs: number) {
    super(`no answer within ${waitMs / 1000} s`);
  }
}

import type { NatsConnection } from '@nats-io/transport-node';
import type { NodeId } from '../../../domain/identifiers.ts';
import type { PeerChannel } from '../../replication/peers/peer-calls.ts';
import { encodeMessage, type Hello } from '../../replication/peers/peer-protocol.ts';
import { knockSubject } from '../names.ts';

/** Requests to a node over a connection to its server, or to one that has a link to that. */
export class NatsChannel implements PeerChannel {
  readonly #nats: NatsConnection;
  readonly #peer: NodeId;
  readonly #subject: string;

  /** `subject` is where the peer hears this node. */
  constructor(nats: NatsConnection, peer: NodeId, subject: string) {
    this.#nats = nats;
    this.#peer = peer;
    this.#subject = subject;
  }

  async request(data: Uint8Array, timeout: number): Promise<Uint8Array> {
    return (await this.#nats.request(this.#subject, data, { timeout })).data;
  }

  send(data: Uint8Array): void {
    this.#publish(this.#subject, data);
  }

  roundTripMs(): Promise<number> {
    return this.#nats.rtt();
  }

  /** Greets where that is all one may do; the answer is to be let in. */
  knock(hello: Hello): void {
    this.#publish(knockSubject(this.#peer), encodeMessage(hello));
  }

  #publish(subject: string, data: Uint8Array): void {
    try {
      this.#nats.publish(subject, data);
    } catch {}
  }
}

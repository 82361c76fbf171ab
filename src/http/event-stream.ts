import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/**
 * What may wait for a client that has stopped reading. A turn that is stored can be had again as a replay, so its
 * connection is given up rather than the node's memory.
 */
const UNREAD_BYTES_MAX = 4 * 1024 * 1024;

/** One server-sent event. */
export interface ServerSentEvent {
  /** Its type, for clients that listen by type; one line. */
  readonly event?: string;
  /** One line. */
  readonly id?: string;
  /** An object is sent as JSON, a text as it is. */
  readonly data: object | string;
}

/**
 * Server-sent events on a reply, written straight to the socket. Nothing is sent before the first event, so that a turn
 * which fails early still gets its HTTP status.
 */
export class EventStream {
  readonly #reply: FastifyReply;
  readonly #raw: ServerResponse;
  #open = false;

  constructor(reply: FastifyReply) {
    this.#reply = reply;
    this.#raw = reply.raw;
  }

  /** Whether the client has already been sent a 200 and part of the answer. */
  get begun(): boolean {
    return this.#open;
  }

  /** A client that reads slowly is buffered for, up to a bound; then its connection is closed. */
  send(event: ServerSentEvent): void {
    if (!this.#open) this.#begin();
    if (this.#raw.destroyed) return;
    this.#raw.write(eventText(event));
    if (this.#raw.writableLength > UNREAD_BYTES_MAX) this.#raw.destroy();
  }

  end(): void {
    if (!this.#open) this.#begin();
    if (!this.#raw.destroyed) this.#raw.end();
  }

  #begin(): void {
    this.#open = true;
    this.#reply.hijack();
    this.#raw.writeHead(200, {
      ...(this.#reply.getHeaders() as Record<string, string>),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
  }
}

/** An event as it goes over the wire. Throws TypeError for a type or id of more than one line: a defect of the dialect. */
export function eventText({ event, id, data }: ServerSentEvent): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data);
  const lines = [
    ...(event === undefined ? [] : [`event: ${oneLine(event)}`]),
    ...(id === undefined ? [] : [`id: ${oneLine(id)}`]),
    ...text.split(/\r\n|[\r\n]/).map((line) => `data: ${line}`),
  ];
  return `${lines.join('\n')}\n\n`;
}

function oneLine(text: string): string {
  if (/[\r\n\0]/.test(text)) throw new TypeError('the type and the id of an event are one line each');
  return text;
}

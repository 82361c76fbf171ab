import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { Clock } from '../environment/environment.ts';
import { Backlog } from './connections/backlog.ts';

/**
 * How long a turn may be waited for before the reply begins without it. Until then one that cannot be taken is answered with
 * its HTTP status, as nearly all are; then who waits for headers should have them.
 */
export const HEADERS_AFTER_MS = 5_000;
/** Between two signs of life: proxies commonly cut what is silent for 60 s, and one of these may be late. */
export const SILENCE_MS_MAX = 15_000;
/** Clients pass it over (HTML standard, 9.2.6). */
const SIGN_OF_LIFE = ': the turn is under way\n\n';

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
 * which fails early still gets its HTTP status, but not for long: then come headers, and comments while there are no events.
 */
export class EventStream {
  readonly #reply: FastifyReply;
  readonly #raw: ServerResponse;
  readonly #clock: Clock;
  readonly #backlog: Backlog;
  #open = false;
  #lastSentMs = 0;
  #stopWatch: () => void = () => {};

  /** To be closed, however the turn ends. */
  constructor(reply: FastifyReply, clock: Clock) {
    this.#reply = reply;
    this.#raw = reply.raw;
    this.#clock = clock;
    this.#backlog = new Backlog(reply.server.unread);
    this.#watchSilence(HEADERS_AFTER_MS);
  }

  /** Whether the client has already been sent a 200 and part of the answer. */
  get begun(): boolean {
    return this.#open;
  }

  /** A client that reads slowly is buffered for, within bounds ({@link Backlog}); then its connection is closed. */
  send(event: ServerSentEvent): void {
    this.#write(eventText(event));
  }

  end(): void {
    if (!this.#open) this.#begin();
    if (!this.#raw.destroyed) this.#raw.end();
  }

  /** No more signs of life. */
  close(): void {
    this.#stopWatch();
  }

  #write(text: string): void {
    if (!this.#open) this.#begin();
    if (this.#raw.destroyed) return;
    this.#lastSentMs = this.#clock.monotonic();
    const unread = this.#raw.writableLength;
    this.#raw.write(text);
    if (this.#backlog.isTooMuch(unread, this.#raw.writableLength, this.#lastSentMs)) this.#raw.destroy();
  }

  #watchSilence(delayMs: number): void {
    this.#stopWatch = this.#clock.after(delayMs, () => {
      const leftMs = this.#open ? this.#lastSentMs + SILENCE_MS_MAX - this.#clock.monotonic() : 0;
      if (leftMs <= 0) this.#write(SIGN_OF_LIFE);
      if (!this.#raw.destroyed) this.#watchSilence(leftMs > 0 ? leftMs : SILENCE_MS_MAX);
    });
  }

  #begin(): void {
    this.#open = true;
    this.#raw.once('close', () => this.#backlog.end());
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

import { Agent, request } from 'node:http';
import WebSocket from 'ws';
import type { TurnApi } from './turn-apis.ts';

/** Where a client sends its turns, and as whom. */
export interface TurnSender {
  readonly url: string;
  /** An API key. */
  readonly key: string;
  /** In whose name. */
  readonly user: string;
}

/** What came of one turn. */
export interface TurnOutcome {
  readonly status: number;
  /** Of a refusal: whether it says when to come again. */
  readonly saysWhen: boolean;
  /** Of an API that tells it whole. */
  readonly responseId?: string;
}

/** One client of one API, with a connection of its own where it has a WebSocket. */
export interface TurnClient {
  /** Throws where a reply that was begun has no end, and where the connection is lost. */
  turn(said: number): Promise<TurnOutcome>;
  close(): void;
}

const agent = new Agent({ keepAlive: true });

export function turnClient(api: TurnApi, sender: TurnSender): TurnClient {
  return api.isSocket ? new SocketClient(api, sender) : new HttpClient(api, sender);
}

export interface Answered {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | undefined;
}

/** With as little work as possible: the load shares the machine with what it is for. */
export function asked({ url, key }: Pick<TurnSender, 'url' | 'key'>, path: string, body?: object): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) };
    const sent = request(`${url}${path}`, { method: body ? 'POST' : 'GET', agent, headers }, (reply) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk: Buffer) => chunks.push(chunk));
      reply.once('error', reject);
      reply.once('end', () =>
        resolve({
          status: reply.statusCode as number,
          text: Buffer.concat(chunks).toString(),
          retryAfter: reply.headers['retry-after'],
        }),
      );
    });
    sent.once('error', reject).end(body && JSON.stringify(body));
  });
}

class HttpClient implements TurnClient {
  readonly #api: TurnApi;
  readonly #sender: TurnSender;

  constructor(api: TurnApi, sender: TurnSender) {
    this.#api = api;
    this.#sender = sender;
  }

  async turn(said: number): Promise<TurnOutcome> {
    const { path, body, end, name } = this.#api;
    const { status, text, retryAfter } = await asked(this.#sender, path, body(this.#sender.user, said));
    if (status !== 200) return { status, saysWhen: Number(retryAfter) > 0 };
    if (end !== undefined && !end.test(text)) throw new Error(`${name}: a stream has no end: ${text.slice(-200)}`);
    return { status, saysWhen: false, ...(name === 'responses' && { responseId: JSON.parse(text).id }) };
  }

  close(): void {}
}

class SocketClient implements TurnClient {
  readonly #api: TurnApi;
  readonly #sender: TurnSender;
  #socket: WebSocket | undefined;

  constructor(api: TurnApi, sender: TurnSender) {
    this.#api = api;
    this.#sender = sender;
  }

  async turn(said: number): Promise<TurnOutcome> {
    const opened = this.#socket ?? (await this.#open());
    if ('saysWhen' in opened) return opened;
    this.#socket = opened;
    opened.send(JSON.stringify(this.#api.body(this.#sender.user, said)));
    return this.#outcome(opened);
  }

  close(): void {
    this.#socket?.terminate();
  }

  #open(): Promise<WebSocket | TurnOutcome> {
    const { url, key } = this.#sender;
    const headers = { authorization: `Bearer ${key}` };
    const socket = new WebSocket(`${url.replace('http', 'ws')}${this.#api.path}`, { headers });
    return new Promise((resolve, reject) => {
      socket.once('open', () => resolve(socket));
      socket.once('unexpected-response', (_, reply) => {
        reply.resume();
        const { statusCode, headers } = reply;
        resolve({ status: statusCode as number, saysWhen: Number(headers['retry-after']) > 0 });
      });
      socket.on('error', reject);
    });
  }

  #outcome(socket: WebSocket): Promise<TurnOutcome> {
    return new Promise((resolve, reject) => {
      const onLost = () => reject(new Error('the node has closed a WebSocket on which it was to answer'));
      const onMessage = (data: WebSocket.RawData) => {
        const outcome = outcomeOf(String(data));
        if (outcome === undefined) return;
        socket.off('message', onMessage).off('close', onLost);
        resolve(outcome);
      };
      socket.on('message', onMessage).on('close', onLost);
    });
  }
}

/** `undefined` for an event that is not the last of its turn. */
function outcomeOf(text: string): TurnOutcome | undefined {
  if (!/"type":"(response\.(completed|incomplete)|error)"/.test(text)) return undefined;
  const event = JSON.parse(text);
  // An event has no headers: that it may be sent again is in the status.
  if (event.type === 'error') return { status: event.status, saysWhen: true };
  return { status: 200, saysWhen: false, responseId: event.response.id };
}

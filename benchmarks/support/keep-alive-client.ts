import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const HEAD_END = '\r\n\r\n';
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

interface Address {
  readonly host: string;
  readonly port: number;
  /** An API key; none is sent without. */
  readonly key?: string | undefined;
  /** The authority that the server's certificate is of; plain HTTP is spoken without. */
  readonly authority?: string | undefined;
}

interface Reply {
  readonly head: string;
  readonly body: string;
}

interface Waiting {
  readonly request: string;
  readonly isSentAgain: boolean;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/**
 * One HTTP/1.1 connection that posts JSON and reads the whole reply, one request at a time, with as little work as possible: the
 * load generator shares the machine with what it measures. Opened again, and the request sent again, when the server has closed
 * it before a reply, as a llama-server does after each stream.
 */
export class KeepAliveClient {
  readonly #address: Address;
  #socket: Socket | undefined;
  #buffer: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  private constructor(address: Address) {
    this.#address = address;
  }

  /**
   * The server has answered on it, if only that there is nothing: Node.js takes up one new connection in each round of its loop, so one
   * that is made while others are busy waits for many of their requests.
   */
  static async open(address: Address): Promise<KeepAliveClient> {
    const client = new KeepAliveClient(address);
    const { host, port } = address;
    await client.#ask(`GET /health HTTP/1.1\r\nhost: ${host}:${port}\r\n\r\n`);
    return client;
  }

  /** So many, before any of them asks for work. */
  static openAll(clients: number, address: Address): Promise<KeepAliveClient[]> {
    return Promise.all(Array.from({ length: clients }, () => KeepAliveClient.open(address)));
  }

  /** The body of a 200 reply, as it came: of a stream with its framing. Throws for any other. */
  async post(path: string, body: string): Promise<string> {
    const { host, port, key } = this.#address;
    const asked = key === undefined ? '' : `authorization: Bearer ${key}\r\n`;
    const request = `POST ${path} HTTP/1.1\r\nhost: ${host}:${port}\r\n${asked}content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
    const reply = await this.#ask(request);
    if (!reply.head.startsWith('HTTP/1.1 200')) throw new Error(`${reply.head.split('\r\n')[0]}: ${reply.body}`);
    return reply.body;
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket?.destroy();
  }

  async #ask(request: string): Promise<Reply> {
    this.#socket ??= await this.#connect();
    return new Promise((resolve, reject) => {
      this.#waiting = { request, isSentAgain: false, resolve, reject };
      this.#socket?.write(request);
    });
  }

  #connect(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const { host, port, authority: ca } = this.#address;
      const opened = () => resolve(socket);
      const socket: Socket = ca === undefined ? connect(port, host, opened) : connectTls({ port, host, ca }, opened);
      socket.setNoDelay(true);
      socket.on('data', (chunk) => this.#read(chunk));
      socket.on('error', reject);
      socket.on('end', () => this.#lost(socket));
      socket.on('close', () => this.#lost(socket));
    });
  }

  async #lost(socket: Socket): Promise<void> {
    if (this.#socket !== socket) return;
    socket.destroy();
    this.#socket = undefined;
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (this.#buffer.length > 0 || waiting.isSentAgain)
      return waiting.reject(new Error('the server closed the connection instead of a reply'));
    this.#waiting = { ...waiting, isSentAgain: true };
    try {
      this.#socket = await this.#connect();
      this.#socket.write(waiting.request);
    } catch (error) {
      waiting.reject(error as Error);
    }
  }

  #read(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    const headEnd = this.#buffer.indexOf(HEAD_END);
    if (headEnd === -1) return;
    const head = this.#buffer.toString('latin1', 0, headEnd);
    const start = headEnd + HEAD_END.length;
    const end = this.#endOf(head, start);
    if (end === undefined || this.#buffer.length < end) return;
    const body = this.#buffer.toString('utf8', start, end);
    this.#buffer = this.#buffer.subarray(end);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ head, body });
  }

  /** Where the reply ends; `undefined` while that is not known. */
  #endOf(head: string, start: number): number | undefined {
    const length = /content-length: (\d+)/i.exec(head)?.[1];
    if (length !== undefined) return start + Number(length);
    const isWhole = this.#buffer.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK);
    return isWhole ? this.#buffer.length : undefined;
  }
}

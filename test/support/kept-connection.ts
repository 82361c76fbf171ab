import { connect, type Socket } from 'node:net';

/** One connection to an HTTP server on loopback, on which one request follows the other. */
export class KeptConnection {
  readonly #socket: Socket;
  #came = '';
  #waiting: { readonly resolve: (answer: string) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1').setNoDelay(true).setEncoding('latin1');
    this.#socket.on('data', (text: string) => {
      this.#came += text;
      const whole = wholeAnswer(this.#came);
      if (whole === undefined) return;
      this.#came = '';
      this.#waiting?.resolve(whole);
    });
    this.#socket.on('error', (error) => this.#waiting?.reject(error));
    this.#socket.on('close', () => this.#waiting?.reject(new Error('the connection was closed')));
  }

  /** The status line, headers and body that a request without a body is answered with. */
  get(url: string, headers: Readonly<Record<string, string>>): Promise<string> {
    const lines = Object.entries({ host: '127.0.0.1', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(`GET ${url} HTTP/1.1\r\n${lines.join('')}\r\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** `undefined` while there is more to come. */
function wholeAnswer(text: string): string | undefined {
  const [, length] = /\r\ncontent-length: (\d+)\r\n/i.exec(text) ?? [];
  const headLength = text.indexOf('\r\n\r\n') + 4;
  return length !== undefined && headLength > 3 && text.length === headLength + Number(length) ? text : undefined;
}

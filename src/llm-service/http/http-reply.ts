/** Node.js's own bound for what comes before a body. */
const HEAD_BYTES_MAX = 16 * 1024;
/** The size of a chunk, or a line after the last one, with whatever a server adds to it. */
const LINE_BYTES_MAX = 4 * 1024;

const BEGINNING = 'HTTP/1.';
const HEAD_END = '\r\n\r\n';
const NEW_LINE = 10;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/;
const CHUNK_SIZE = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i;
const NOTHING: Buffer = Buffer.alloc(0);

/** What answers speaks another language. */
export class NotHttp extends Error {
  override readonly name = 'NotHttp';
}

/** How a body ends: with so many bytes, with a chunk of none, or with the connection. */
type Framing = number | 'chunks' | 'connection';

/** One reply of HTTP/1.1 (RFC 9112), out of bytes cut anywhere. */
export class HttpReply {
  #head = NOTHING;
  #status: number | undefined;
  #isComplete = false;
  #isKept = false;
  #framing: Framing = 'connection';
  /** Of the body, or of its chunk, what is still to come. */
  #left = 0;
  #reading: 'size' | 'chunk' | 'chunk end' | 'trailers' = 'size';
  #line = '';

  /** Known once the head is. */
  get status(): number | undefined {
    return this.#status;
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Whether the connection may serve another request afterwards. */
  get isKept(): boolean {
    return this.#isComplete && this.#isKept;
  }

  /** What of the body is in these bytes, which follow those before. Throws {@link NotHttp}. */
  push(bytes: Buffer): Buffer[] {
    const body: Buffer[] = [];
    for (let rest = bytes; rest.length > 0; ) {
      if (this.#isComplete) throw new NotHttp('more than the reply');
      rest = this.#status === undefined ? this.#readHead(rest) : this.#readBody(rest, body);
    }
    return body;
  }

  /** The server has closed the connection in good order. Returns whether the reply is whole; throws {@link NotHttp} within its head. */
  close(): boolean {
    if (this.#head.length > 0) throw new NotHttp('half a head');
    if (this.#status !== undefined && this.#framing === 'connection') this.#isComplete = true;
    return this.#isComplete;
  }

  #readHead(bytes: Buffer): Buffer {
    const head = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]);
    if (!head.toString('latin1', 0, BEGINNING.length).startsWith(BEGINNING.slice(0, head.length)))
      throw new NotHttp('no status line');
    const end = head.indexOf(HEAD_END);
    if ((end === -1 ? head.length : end) > HEAD_BYTES_MAX) throw new NotHttp('an endless head');
    this.#head = end === -1 ? head : NOTHING;
    if (end === -1) return NOTHING;
    this.#takeHead(head.toString('latin1', 0, end).split('\r\n'));
    return head.subarray(end + HEAD_END.length);
  }

  #takeHead([statusLine = '', ...lines]: readonly string[]): void {
    const [, minor, code] = STATUS_LINE.exec(statusLine) ?? [];
    if (code === undefined) throw new NotHttp('no status line');
    const status = Number(code);
    if (status === 101) throw new NotHttp('another protocol');
    // An interim reply: the one that counts follows.
    if (status < 200) return;
    const { length, coding, connection } = framingFields(lines);
    if (coding !== undefined && (coding !== 'chunked' || length !== undefined)) throw new NotHttp('an unknown framing');
    const isEmpty = status === 204 || status === 304;
    this.#framing = isEmpty ? 0 : coding !== undefined ? 'chunks' : (length ?? 'connection');
    this.#left = typeof this.#framing === 'number' ? this.#framing : 0;
    this.#isKept = minor === '1' && this.#framing !== 'connection' && !/\bclose\b/.test(connection);
    this.#isComplete = this.#framing === 0;
    this.#status = status;
  }

  #readBody(bytes: Buffer, body: Buffer[]): Buffer {
    if (this.#framing === 'connection') {
      body.push(bytes);
      return NOTHING;
    }
    if (this.#framing === 'chunks' && this.#reading !== 'chunk') return this.#readLine(bytes);
    const piece = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes;
    body.push(piece);
    this.#left -= piece.length;
    if (this.#left === 0) {
      if (this.#framing === 'chunks') this.#reading = 'chunk end';
      else this.#isComplete = true;
    }
    return bytes.subarray(piece.length);
  }

  #readLine(bytes: Buffer): Buffer {
    const end = bytes.indexOf(NEW_LINE);
    this.#line += bytes.toString('latin1', 0, end === -1 ? bytes.length : end);
    if (this.#line.length > LINE_BYTES_MAX) throw new NotHttp('an endless line');
    if (end === -1) return NOTHING;
    if (!this.#line.endsWith('\r')) throw new NotHttp('half a line');
    this.#takeLine(this.#line.slice(0, -1));
    this.#line = '';
    return bytes.subarray(end + 1);
  }

  /** Between chunks. */
  #takeLine(line: string): void {
    switch (this.#reading) {
      case 'size': {
        const size = CHUNK_SIZE.exec(line)?.[1];
        if (size === undefined) throw new NotHttp('a chunk without a size');
        this.#left = Number.parseInt(size, 16);
        this.#reading = this.#left === 0 ? 'trailers' : 'chunk';
        return;
      }
      case 'chunk end':
        if (line !== '') throw new NotHttp('a chunk that is longer than its size');
        this.#reading = 'size';
        return;
      default:
        if (line === '') this.#isComplete = true;
    }
  }
}

/** What header lines say of the body's end and the connection's. Throws {@link NotHttp} for what contradicts itself. */
function framingFields(lines: readonly string[]): {
  readonly length: number | undefined;
  readonly coding: string | undefined;
  readonly connection: string;
} {
  let length: number | undefined;
  let coding: string | undefined;
  let connection = '';
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
    // A space would begin or end a name: a line that goes on with the one before it, or what proxies read otherwise.
    if (name === '' || name.includes(' ') || name.includes('\t')) throw new NotHttp('a header without a name');
    const value = () => line.slice(colon + 1).trim();
    switch (name) {
      case 'content-length': {
        const told = value();
        if (!/^\d{1,15}$/.test(told) || (length !== undefined && length !== Number(told)))
          throw new NotHttp('a length that is none');
        length = Number(told);
        break;
      }
      case 'transfer-encoding':
        coding = coding === undefined ? value().toLowerCase() : `${coding}, ${value().toLowerCase()}`;
        break;
      case 'connection':
        connection += ` ${value().toLowerCase()}`;
        break;
    }
  }
  return { length, coding, connection };
}

/** Longest event: the last one carries the prompt's text, six bytes a character at worst when escaped. */
const EVENT_CHARS_MAX = 64 * 1024 * 1024;

/**
 * The `data` of server-sent events out of bytes cut anywhere. Comments (llama-server's pings) and other fields are left
 * out; an event that the stream ends in the middle of is dropped.
 */
export class ServerSentEvents {
  readonly #endless: () => Error;
  readonly #decoder = new TextDecoder();
  #line = '';
  #data: string | undefined;

  /** `endless` is thrown at an event without an end. */
  constructor(endless: () => Error) {
    this.#endless = endless;
  }

  /** The events that end with these bytes, which follow those before. */
  push(bytes: Uint8Array): string[] {
    const events: string[] = [];
    // Splitting only what is new: looking for the end of a long event in all of it again and again is quadratic.
    const pieces = this.#decoder.decode(bytes, { stream: true }).split('\n');
    const last = pieces.length - 1;
    for (let i = 0; i < last; i++) {
      const line = this.#line + pieces[i];
      this.#line = '';
      if (line === '' || line === '\r') {
        if (this.#data !== undefined) events.push(this.#data);
        this.#data = undefined;
        continue;
      }
      const content = dataOf(line);
      if (content !== undefined) this.#data = this.#data === undefined ? content : `${this.#data}\n${content}`;
    }
    this.#line += pieces[last];
    if (this.#line.length + (this.#data?.length ?? 0) > EVENT_CHARS_MAX) throw this.#endless();
    return events;
  }
}

function dataOf(line: string): string | undefined {
  if (!line.startsWith('data:')) return undefined;
  const start = line.charCodeAt(5) === SPACE ? 6 : 5;
  return line.slice(start, line.endsWith('\r') ? -1 : undefined);
}

const SPACE = 32;

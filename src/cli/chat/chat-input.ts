import { createInterface, type Interface } from 'node:readline';
import { type Readable, Writable } from 'node:stream';

/** Where a chat's messages come from. */
export interface ChatInput {
  /** Whether someone sits at a terminal. */
  readonly interactive: boolean;
  /** The next message, asked for with `prompt` at a terminal; `undefined` at the end. */
  next(prompt: string): Promise<string | undefined>;
  /** Calls `listener` for each Ctrl-C until the returned function is called; without a listener Ctrl-C ends the input. */
  onInterrupt(listener: () => void): () => void;
  close(): void;
}

/** Entries that the arrow keys reach back to. */
const HISTORY_ENTRIES = 200;

export function openChatInput(): ChatInput {
  return process.stdin.isTTY && process.stdout.isTTY
    ? new TerminalInput(process.stdin, process.stdout)
    : new PipedInput();
}

/** A terminal with line editing. What is typed while a reply is written stays hidden until the next prompt. */
export class TerminalInput implements ChatInput {
  readonly interactive = true;
  readonly #readline: Interface;
  readonly #output: MutableOutput;
  readonly #messages: string[] = [];
  readonly #lines: string[] = [];
  #wake: (() => void) | undefined;
  #flushing = false;
  #ended = false;
  #interrupt: (() => void) | undefined;

  constructor(input: Readable, output: Writable & { readonly columns?: number }) {
    this.#output = new MutableOutput(output);
    this.#readline = createInterface({
      input,
      output: this.#output,
      terminal: true,
      historySize: HISTORY_ENTRIES,
    });
    this.#output.muted = true;
    this.#readline.on('line', (line) => this.#takeLine(line));
    this.#readline.on('SIGINT', () => this.#takeInterrupt());
    this.#readline.on('close', () => this.#end());
  }

  async next(prompt: string): Promise<string | undefined> {
    this.#readline.setPrompt(prompt);
    const typedAhead = this.#messages.shift();
    if (typedAhead !== undefined) {
      this.#output.show(`${prompt}${typedAhead}\n`);
      return typedAhead;
    }
    if (this.#ended) return undefined;
    this.#output.muted = false;
    this.#readline.prompt(true);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#output.muted = true;
    return this.#messages.shift();
  }

  onInterrupt(listener: () => void): () => void {
    this.#interrupt = listener;
    return () => {
      this.#interrupt = undefined;
    };
  }

  close(): void {
    this.#readline.close();
  }

  /**
   * Lines that arrive at once were pasted and are one message, which waits for Enter when its last line has no end;
   * commands stay apart.
   */
  #takeLine(line: string): void {
    this.#lines.push(line);
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      const unfinished = this.#readline.line !== '' && !this.#ended;
      if (unfinished || this.#lines.length === 0) return;
      const lines = this.#lines.splice(0);
      this.#messages.push(...(lines.every((entry) => entry.startsWith('/')) ? lines : [lines.join('\n')]));
      this.#wake?.();
    });
  }

  #takeInterrupt(): void {
    if (this.#interrupt !== undefined) this.#interrupt();
    else if (this.#readline.line === '') this.#readline.close();
    else {
      this.#lines.length = 0;
      this.#readline.write(null, { ctrl: true, name: 'e' });
      this.#readline.write(null, { ctrl: true, name: 'u' });
    }
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }
}

/** Every line is a message. */
class PipedInput implements ChatInput {
  readonly interactive = false;
  readonly #readline = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  readonly #lines = this.#readline[Symbol.asyncIterator]();

  async next(): Promise<string | undefined> {
    const { done, value } = await this.#lines.next();
    return done ? undefined : value;
  }

  onInterrupt(listener: () => void): () => void {
    process.on('SIGINT', listener);
    return () => process.off('SIGINT', listener);
  }

  close(): void {
    this.#readline.close();
  }
}

/** Readline writes what is typed through this, so that it can be kept out of a reply that is being written. */
class MutableOutput extends Writable {
  muted = false;
  readonly #target: Writable & { readonly columns?: number };

  constructor(target: Writable & { readonly columns?: number }) {
    super();
    this.#target = target;
    target.on('resize', () => this.emit('resize'));
  }

  /** Readline wraps long lines at this. */
  get columns(): number | undefined {
    return this.#target.columns;
  }

  /** Writes though muted. */
  show(text: string): void {
    this.#target.write(text);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.muted) this.#target.write(chunk);
    done();
  }
}

import {
  type DiscedgeClient,
  DiscedgeClientError,
  type RetryEvent,
  type Session,
  type SessionOptions,
} from '../../client/client.ts';
import { DEFAULT_URL } from '../connection.ts';
import { printable, styled } from '../terminal.ts';
import type { ChatInput } from './chat-input.ts';
import type { Conversation } from './conversation.ts';
import { runSlashCommand } from './slash-commands.ts';
import { turnLine, turnWarning } from './turn-line.ts';

export interface ChatParts {
  readonly client: DiscedgeClient;
  /** A client of that node alone, with the same key and authority. */
  readonly connectTo: (url: string) => DiscedgeClient;
  /** The first session; `/new` opens others. */
  readonly session: Session;
  readonly sessionOptions: SessionOptions;
  readonly input: ChatInput;
}

const PROMPT = '› ';
/** Shown until a reply's first text comes. */
const WAITING = '…';

/** A conversation on the terminal, or from a pipe. Replies go to stdout; what is about them, to stderr when piped. */
export class Chat implements Conversation {
  readonly #client: DiscedgeClient;
  readonly connectTo: (url: string) => DiscedgeClient;
  session: Session;
  readonly #sessionOptions: SessionOptions;
  readonly #input: ChatInput;
  /** The reply that is being written. */
  #line: ReplyLine | undefined;
  #left = false;
  /** Id of the node that answered last. */
  #nodeBefore: string | undefined;

  constructor({ client, connectTo, session, sessionOptions, input }: ChatParts) {
    this.#client = client;
    this.connectTo = connectTo;
    this.session = session;
    this.#sessionOptions = sessionOptions;
    this.#input = input;
  }

  /** Runs until the input ends, or a command ends it; false when a piped message could not be answered. */
  async run(): Promise<boolean> {
    if (this.#input.interactive) await this.#greet();
    while (!this.#left) {
      const line = await this.#input.next(styled(['bold', 'cyan'], PROMPT));
      if (line === undefined) break;
      const message = line.trim();
      if (message === '') continue;
      if (message.startsWith('/')) {
        await runSlashCommand(this, message);
      } else if (!(await this.#takeTurn(message)) && !this.#input.interactive) {
        return false;
      }
    }
    if (this.#input.interactive) this.#sayGoodbye();
    return true;
  }

  quit(): void {
    this.#left = true;
  }

  newSession(): void {
    this.session = this.#client.session({ ...this.#sessionOptions, node: this.session.node });
  }

  goTo(session: Session): void {
    this.#nodeBefore = undefined;
    this.session = session;
  }

  readonly note = (text: string): void => {
    const stream = this.#input.interactive ? process.stdout : process.stderr;
    stream.write(`${styled('dim', printable(text), stream)}\n`);
  };

  warn(text: string): void {
    process.stderr.write(`${styled('yellow', printable(text), process.stderr)}\n`);
  }

  async #greet(): Promise<void> {
    const { model_alias: model, node } = (await this.#client.props()) as { model_alias?: string; node?: string };
    const where = `${printable(model ?? '?')} at node ${printable(node ?? '?')} (${this.session.node})`;
    process.stdout.write(`${styled('bold', 'DisCEdge chat')} with ${where}\n`);
    this.note('/help lists commands, Ctrl-C stops a reply, Ctrl-D leaves.\n');
    if (this.session.turn > 0) await this.#recall();
  }

  /** Shows where a resumed session stands. */
  async #recall(): Promise<void> {
    const last = (await this.session.history()).at(-1);
    if (last === undefined) return;
    this.note(`Going on after turn ${last.turn}:`);
    process.stdout.write(
      `${styled('bold', PROMPT)}${printable(last.user)}\n${printable(last.textError ?? last.reply)}\n\n`,
    );
  }

  #sayGoodbye(): void {
    const { sessionId, turn, node } = this.session;
    const where = node === DEFAULT_URL ? '' : ` --url ${node}`;
    if (turn > 0) this.note(`\nGo on later with: discedge chat --session ${sessionId}${where}`);
    else process.stdout.write('\n');
  }

  /** Told by the client before it sends a turn again. */
  tellRetry({ error, node, waitMs }: RetryEvent): void {
    this.#line?.end();
    const next = node === error.node ? 'once more' : node;
    this.note(`  ${error.message}; trying ${next}${waitMs === 0 ? '' : ` in ${waitMs} ms`}`);
  }

  /** True when the message was answered. */
  async #takeTurn(message: string): Promise<boolean> {
    const cancelling = new AbortController();
    const release = this.#input.onInterrupt(() => cancelling.abort());
    const line = new ReplyLine(this.#input.interactive);
    this.#line = line;
    const started = performance.now();
    let firstTextMs: number | undefined;
    const stream = this.session.stream(message, { signal: cancelling.signal });
    try {
      for await (const text of stream) {
        firstTextMs ??= performance.now() - started;
        line.write(text);
      }
    } catch (error) {
      line.end();
      if (cancelling.signal.aborted) {
        this.note('Cancelled; the session does not remember this turn.');
        this.#gap();
        return false;
      }
      if (!(error instanceof DiscedgeClientError) || error.code !== 'reply_changed') {
        await this.#explain(error);
        return false;
      }
      this.warn('The reply was lost with its node; this is the one that counts:');
      line.write((await stream.reply).text);
    } finally {
      release();
      this.#line = undefined;
    }
    const reply = await stream.reply;
    line.end();
    this.note(turnLine(reply, { firstTextMs, totalMs: performance.now() - started, nodeBefore: this.#nodeBefore }));
    this.#nodeBefore = reply.node;
    const warning = turnWarning(reply);
    if (warning !== undefined) this.warn(warning);
    this.#gap();
    return true;
  }

  /** Sets what is shown of one turn apart from the next. */
  #gap(): void {
    if (this.#input.interactive) process.stdout.write('\n');
  }

  async #explain(error: unknown): Promise<void> {
    if (!(error instanceof DiscedgeClientError)) throw error;
    this.warn(`${error.message} (${error.code})`);
    if (error.code === 'turn_conflict') {
      await this.#catchUp();
    } else if (this.#input.interactive && error.retry) {
      this.warn('Say it again to retry: it is the same turn until a node has answered it.');
    }
  }

  async #catchUp(): Promise<void> {
    try {
      await this.session.refresh();
      this.warn(
        `The session has gone on elsewhere; it is at turn ${this.session.turn} now. See /history, then say it again.`,
      );
    } catch (error) {
      if (!(error instanceof DiscedgeClientError)) throw error;
      this.warn(`${error.message} (${error.code})`);
    }
  }
}

/** Writes one reply to stdout as it comes. */
class ReplyLine {
  readonly #interactive: boolean;
  #waiting = false;
  #last = '';

  constructor(interactive: boolean) {
    this.#interactive = interactive;
    if (!interactive) return;
    this.#waiting = true;
    process.stdout.write(styled('dim', WAITING));
  }

  write(text: string): void {
    this.#clear();
    process.stdout.write(this.#interactive ? printable(text) : text);
    this.#last = text;
  }

  /** What follows begins on a line of its own. */
  end(): void {
    this.#clear();
    if (this.#last !== '' && !this.#last.endsWith('\n')) process.stdout.write('\n');
    this.#last = '';
  }

  #clear(): void {
    if (this.#waiting) process.stdout.write('\r\u001b[K');
    this.#waiting = false;
  }
}

import { DiscedgeError } from '../../domain/errors.ts';
import { type SessionKey, type SessionKeyText, sessionKeyText } from '../../domain/identifiers.ts';
import { summaryBeyond } from '../../domain/session/session-summaries.ts';
import { Stop } from '../../waiting/stop.ts';
import type { SummaryOwner, SummaryWriter, SummaryWriterParts } from './summary-writer.ts';

/** A context that takes so much of the window will soon be full: the next turns are read word for word beside the summary. */
const FULL_SHARE = 0.7;
/** Sessions in line; the one that has waited longest goes for a newer one, and is summed up when its turn needs it. */
const WAITING_MAX = 64;
/** Times that one session is begun again after a turn came between; then its own turn has it done. */
const ATTEMPTS_MAX = 5;

/** A session that may be summed up, and to whom that is counted. */
type Grown = { readonly key: SessionKey } & Pick<SummaryOwner, 'account'>;

/**
 * Sums up sessions that will soon need it, while the node has nothing else to do. A turn, of whichever session, stops what is
 * under way: nobody waits for a summary that is not theirs. So does the end of its own session.
 */
export class SummariesAhead {
  readonly #writer: SummaryWriter;
  readonly #parts: Pick<SummaryWriterParts, 'llm' | 'node'>;
  readonly #waiting = new Map<SessionKeyText, Grown & { readonly attempts: number }>();
  #current: { readonly keyText: SessionKeyText; readonly stop: Stop } | undefined;
  #isWorking = false;
  #isClosed = false;

  constructor(writer: SummaryWriter, parts: Pick<SummaryWriterParts, 'llm' | 'node'>) {
    this.#writer = writer;
    this.#parts = parts;
    parts.node.running.onBegin(() => this.#interrupt());
    parts.node.records.onRemoved((key) => {
      const keyText = sessionKeyText(key);
      this.#waiting.delete(keyText);
      if (this.#current?.keyText === keyText) this.#interrupt();
    });
    parts.node.onClosing(() => {
      this.#isClosed = true;
      this.#interrupt();
    });
  }

  /** The session's context is so long now. Cheap, however often it is said. */
  grown(session: Grown, contextTokens: number): void {
    const { llm } = this.#parts;
    if (contextTokens < FULL_SHARE * llm.description.contextTokens) return;
    this.#enter(session, 0);
    if (this.#isWorking || this.#isClosed) return;
    this.#isWorking = true;
    void this.#work().finally(() => {
      this.#isWorking = false;
    });
  }

  #interrupt(): void {
    this.#current?.stop.abort(interrupted());
  }

  #enter({ key, account }: Grown, attempts: number): void {
    const keyText = sessionKeyText(key);
    this.#waiting.delete(keyText);
    this.#waiting.set(keyText, { key, account, attempts });
    if (this.#waiting.size > WAITING_MAX) this.#waiting.delete(this.#waiting.keys().next().value as SessionKeyText);
  }

  async #work(): Promise<void> {
    while (this.#waiting.size > 0 && !this.#isClosed) {
      await this.#parts.node.running.whenIdle();
      const [keyText, next] = [...this.#waiting].at(-1) ?? [];
      if (keyText === undefined || next === undefined || this.#isClosed) return;
      this.#waiting.delete(keyText);
      if ((await this.#sumUp(next)) === 'interrupted' && next.attempts < ATTEMPTS_MAX && !this.#waiting.has(keyText)) {
        this.#enter(next, next.attempts + 1);
      }
    }
  }

  async #sumUp({ key, account }: Grown): Promise<'done' | 'interrupted'> {
    const { records, environment } = this.#parts.node;
    const stop = new Stop();
    this.#current = { keyText: sessionKeyText(key), stop };
    try {
      const session = await records.load(key);
      const base = session.history.lastAnswered(session.history.tip);
      if (base === undefined || session.corrupt > 0) return 'done';
      if (summaryBeyond(session.history, base) !== undefined) return 'done';
      stop.throwIfAborted();
      // All of it: its prompt is what is in the KV cache, and stays there for the next turn, but where layers are left out of it.
      const work = { stopping: stop, principal: account?.principal ?? '', userId: key.userId, startWork: () => {} };
      await this.#writer.write(session, { base, upTo: base }, { work, account });
      return 'done';
    } catch (error) {
      if (stop.signal.aborted) return 'interrupted';
      // It is tried again when a turn needs it, which is told why it fails.
      const { logger } = environment;
      if (error instanceof DiscedgeError) logger.debug('summary_failed', { code: error.code });
      else logger.warn('summary_failed', {}, error);
      return 'done';
    } finally {
      this.#current = undefined;
    }
  }
}

function interrupted(): DiscedgeError {
  return new DiscedgeError(
    'turn_cancelled',
    'a turn came, or the session went, while a summary was being made ahead of need',
  );
}

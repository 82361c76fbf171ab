import { DiscedgeError } from '../../domain/errors.ts';
import { joinedExtensions } from '../../domain/record/extensions.ts';
import { plainText } from '../../domain/record/message-content.ts';
import { type Retrieved, retrievedExtension, retrievedOf, type Search } from '../../domain/record/retrieved.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import { FixedText } from '../modes/fixed-text.ts';
import type { Kept, Mode, Prompt } from '../modes/mode.ts';
import type { NodeResources } from '../node-resources.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { TurnRequest } from '../turn/turn.ts';
import { MeaningSearch } from './meaning-search.ts';
import { fusedRanks } from './ranks.ts';
import type { IndexedTurn, TurnIndex } from './turn-index.ts';
import { TurnIndexes } from './turn-indexes.ts';

/** Turns that are brought back at once: the best few, not whatever shares a word. */
const TURNS_MAX = 4;
/** Part of the window that they may take. */
const WINDOW_SHARE = 1 / 8;
/** What the model reads before and behind them. */
const HEADING = 'From earlier in this conversation, which no longer fits:';
const BEHIND = 'My message now:';
const FRAME = new FixedText(`${HEADING}\n\n${BEHIND}\n\n`);

interface Place {
  readonly session: CachedSession;
  readonly base: Turn | undefined;
}
type Build = (request: TurnRequest) => Promise<{ readonly mode: StoredMode; readonly prompt: Prompt }>;

/** Brings back what a new message is about out of the turns that a full window leaves out, under the policy `retrieve`. */
export class Retrieval {
  readonly #llm: Pick<LlmService, 'description' | 'tokenize'>;
  readonly #indexes: TurnIndexes;
  /** `undefined`: turns are found by words alone. */
  readonly #meaning: MeaningSearch | undefined;

  constructor(parts: {
    readonly llm: Pick<LlmService, 'description' | 'tokenize'>;
    readonly node: NodeResources;
    readonly modes: Readonly<Record<StoredMode, Mode>>;
  }) {
    this.#llm = parts.llm;
    this.#indexes = new TurnIndexes(parts);
    const { embedder, environment } = parts.node;
    this.#meaning = embedder && new MeaningSearch(embedder, environment);
  }

  /**
   * The prompt of a turn, with what is brought back right before its message: what is in the KV cache stays as it is. Without, where
   * no turn is left out, none has to do with the message, or there is no room. Throws what `build` throws, and the failure of an LLM
   * Service that cannot put stored ids into words.
   */
  async build(request: TurnRequest, at: Place, build: Build): Promise<Awaited<ReturnType<Build>>> {
    const plain = await build(request);
    const { contextStart } = plain.prompt;
    const text = saidIn(request);
    if (at.base === undefined || contextStart === 1 || text === undefined) return plain;
    const line = at.session.history.answeredLine(at.base);
    const window = line.filter(({ record }) => record.turn >= contextStart);
    // What an earlier turn has brought back, and is still read, is not brought back again.
    const known = new Set(window.flatMap(({ record }) => retrievedOf(record)?.turns ?? []));
    const left = line.filter(({ record: { turn } }) => turn < contextStart && !known.has(turn));
    const index = await this.#indexes.of(at.session, left);
    const { best, by } = await this.#search(index, text, left);
    const found = await this.#within(best);
    if (found.length === 0) return plain;
    // Puts back what was folded for it.
    plain.prompt.evaluated();
    const before = blockOf(found);
    const retrieved = { turns: found.map(({ turn }) => turn.record.turn), length: before.length, by };
    try {
      const { mode, prompt } = await build(saying(request, `${before}${text}`));
      return { mode, prompt: bringing(prompt, retrieved) };
    } catch (error) {
      if (error instanceof DiscedgeError && error.code === 'context_overflow') return build(request);
      throw error;
    }
  }

  async #search(
    index: TurnIndex,
    text: string,
    left: readonly Turn[],
  ): Promise<{ readonly best: readonly IndexedTurn[]; readonly by: Search }> {
    const best = index.best(text, new Set(left.map(({ hash }) => hash)));
    const turns = left.flatMap(({ hash }) => index.get(hash) ?? []);
    const near = await this.#meaning?.nearest(index, text, turns);
    if (near === undefined) return { best, by: 'words' };
    const ranked = fusedRanks([best.map(({ turn }) => turn.hash), near]);
    return { best: ranked.flatMap((hash) => index.get(hash) ?? []), by: 'words_and_embeddings' };
  }

  /** The best that fit, oldest first. */
  async #within(best: readonly IndexedTurn[]): Promise<IndexedTurn[]> {
    let left = Math.floor(this.#llm.description.contextTokens * WINDOW_SHARE);
    left -= await FRAME.tokens(this.#llm);
    const found: IndexedTurn[] = [];
    for (const indexed of best.slice(0, 2 * TURNS_MAX)) {
      if (found.length === TURNS_MAX) break;
      const { length } = await this.#llm.tokenize(passageOf(indexed), { parseSpecial: false });
      if (length > left) continue;
      left -= length;
      found.push(indexed);
    }
    return found.sort((a, b) => a.turn.record.turn - b.turn.record.turn);
  }
}

function passageOf({ turn, text }: IndexedTurn): string {
  return `[turn ${turn.record.turn}]\n${text}\n\n`;
}

function blockOf(found: readonly IndexedTurn[]): string {
  return `${HEADING}\n\n${found.map(passageOf).join('')}${BEHIND}\n\n`;
}

/** The last message of the user's, where it is text; results of tools are searched for by nobody. */
function saidIn({ messages }: TurnRequest): string | undefined {
  const said = messages.at(-1);
  return said?.role === 'user' ? plainText(said.content) : undefined;
}

function saying(request: TurnRequest, content: string): TurnRequest {
  return { ...request, messages: request.messages.with(-1, { role: 'user', content }) };
}

function bringing(prompt: Prompt, retrieved: Retrieved): Prompt {
  const own = retrievedExtension(retrieved);
  const withOwn = (kept: Kept): Kept => ({ ...kept, extensions: joinedExtensions(kept.extensions, own) ?? own });
  return {
    ...prompt,
    draft: withOwn(prompt.draft),
    record: async (reply, read) => withOwn(await prompt.record(reply, read)),
    retrieved,
  };
}

import type { ContentPart, IdMark } from '../../../domain/record/message-content.ts';
import type { TokenId, TokenSequence } from '../../../domain/token-sequence.ts';
import { appendTokens } from '../../../domain/token-sequence.ts';
import { type ChatTemplate, ReplyParser, type ReplySyntax } from '../../../llm-service/chat-template.ts';
import type { Vocabulary } from '../../../llm-service/llm-service.ts';
import type { PartDelta } from './reply-parts.ts';

/** What a reply was found to be. */
export interface ReadReply {
  readonly parts: readonly ContentPart[];
  /** Its calls, and which ids of the reply they are. */
  readonly calls: readonly IdMark[];
}

/** Of a prompt's end: what may begin the reasoning of the reply is a tag and a line break. */
const PROMPT_END_IDS = 16;

/** Takes the replies of one model apart, while they come and once they are stored. */
export class ReplyReading {
  readonly #llm: Vocabulary;
  readonly #syntax: ReplySyntax;
  #controls: Promise<ReadonlyMap<TokenId, string>> | undefined;

  constructor(llm: Vocabulary, template: ChatTemplate) {
    this.#llm = llm;
    this.#syntax = template.syntax;
  }

  /**
   * `tools`: what may be called; `undefined`: nothing, and what looks like a call is text. `newCallId` is asked for once for each
   * call.
   */
  async reader(options: {
    readonly prompt: TokenSequence;
    readonly tools: ReadonlySet<string> | undefined;
    readonly newCallId: () => string;
  }): Promise<ReplyReader> {
    const { prompt, tools, newCallId } = options;
    const { thinking, calls } = this.#syntax;
    const isTold = thinking !== undefined || (calls !== undefined && tools !== undefined);
    const isTool = tools && ((name: string) => tools.has(name));
    const isThinking = await this.#isThinking(prompt);
    const parser = new ReplyParser(this.#syntax, { isTool, isThinking });
    return new ReplyReader({
      begun: isThinking ? thinking?.end : undefined,
      llm: this.#llm,
      controls: isTold ? await this.#controlTexts() : new Map(),
      parser,
      newCallId,
    });
  }

  /** A stored reply; `marks` have the calls that it was found to have. */
  async stored(reply: {
    readonly text: string;
    readonly ids: TokenSequence;
    readonly prompt: TokenSequence;
    readonly calls: readonly Extract<IdMark['part'], { type: 'tool-call' }>[];
  }): Promise<readonly ContentPart[]> {
    const { text, ids, prompt, calls } = reply;
    const tools = calls.length === 0 ? undefined : new Set(calls.map(({ name }) => name));
    let next = 0;
    const newCallId = () => calls[next++]?.callId ?? '';
    const reader = await this.reader({ prompt, tools, newCallId });
    await reader.push({ text, ids });
    const { parts } = await reader.end(ids);
    const found = parts.filter(({ type }) => type === 'tool-call').length;
    // Another build may have read it otherwise: its calls are what counts.
    if (found === calls.length) return parts;
    return [...(text === '' ? [] : [{ type: 'text' as const, text }]), ...calls];
  }

  /** Whether the prompt has begun the reasoning already. */
  async #isThinking(prompt: TokenSequence): Promise<boolean> {
    const start = this.#syntax.thinking?.start ?? '';
    if (start === '') return false;
    const end = await this.#llm.detokenize(prompt.slice(-PROMPT_END_IDS), { special: true });
    return end.trimEnd().endsWith(start);
  }

  /** The control tokens that tell parts of a reply apart: a reply's text does not show them. */
  #controlTexts(): Promise<ReadonlyMap<TokenId, string>> {
    this.#controls ??= this.#findControls();
    this.#controls.catch(() => {
      this.#controls = undefined;
    });
    return this.#controls;
  }

  async #findControls(): Promise<ReadonlyMap<TokenId, string>> {
    const { thinking, answer, calls } = this.#syntax;
    const texts = [thinking, answer, calls].flatMap((marks) => Object.values(marks ?? {}).map(String));
    const controls = new Map<TokenId, string>();
    for (const text of texts) {
      for (const id of await this.#llm.tokenize(text, { parseSpecial: true })) {
        if ((await this.#llm.detokenize([id])) !== '') continue;
        controls.set(id, await this.#llm.detokenize([id], { special: true }));
      }
    }
    return controls;
  }
}

/** Reads one reply. Its deltas put together are its parts. */
export class ReplyReader {
  /** The text that ends the reasoning which the prompt has begun. */
  readonly begun: string | undefined;
  readonly #llm: Vocabulary;
  readonly #controls: ReadonlyMap<TokenId, string>;
  readonly #parser: ReplyParser;
  readonly #newCallId: () => string;
  readonly #ids: TokenId[] = [];
  /** Control tokens of the reply: behind how much of its text they stand, and which of its ids they are. */
  readonly #marks: { readonly at: number; readonly index: number; readonly text: string }[] = [];
  #passed = 0;
  #shown = 0;
  readonly #parts: ContentPart[] = [];

  constructor(parts: {
    readonly begun: string | undefined;
    readonly llm: Vocabulary;
    readonly controls: ReadonlyMap<TokenId, string>;
    readonly parser: ReplyParser;
    readonly newCallId: () => string;
  }) {
    this.begun = parts.begun;
    this.#llm = parts.llm;
    this.#controls = parts.controls;
    this.#parser = parts.parser;
    this.#newCallId = parts.newCallId;
  }

  /** Text that has become certain, and ids, of which the last may not have shown theirs yet. */
  async push({ text, ids }: { readonly text: string; readonly ids: TokenSequence }): Promise<PartDelta[]> {
    await this.#take(ids);
    const deltas: PartDelta[] = [];
    const end = this.#shown + text.length;
    let from = this.#shown;
    for (let mark = this.#marks[this.#passed]; mark !== undefined && mark.at <= end; mark = this.#marks[this.#passed]) {
      const before = text.slice(from - this.#shown, mark.at - this.#shown);
      deltas.push(...this.#told(this.#parser.push(before + mark.text)));
      from = Math.max(from, mark.at);
      this.#passed++;
    }
    deltas.push(...this.#told(this.#parser.push(text.slice(from - this.#shown))));
    this.#shown = end;
    return deltas;
  }

  /** The last deltas, and the whole of it. `ids`: all of the reply's. */
  async end(ids: TokenSequence): Promise<ReadReply & { readonly deltas: readonly PartDelta[] }> {
    const deltas = this.#told(this.#parser.end());
    const calls: IdMark[] = [];
    for (const { index, start, end } of this.#parser.ranges) {
      const part = this.#parts[index];
      if (part?.type !== 'tool-call') continue;
      const first = await this.#idAt(ids, start);
      calls.push({ segment: 'reply', start: first, length: (await this.#idAt(ids, end, true)) - first, part });
    }
    return { deltas, parts: this.#parts, calls };
  }

  async #take(ids: TokenSequence): Promise<void> {
    const before = this.#ids.length;
    appendTokens(this.#ids, ids);
    if (this.#controls.size === 0) return;
    for (const [offset, id] of ids.entries()) {
      const text = this.#controls.get(id);
      if (text === undefined) continue;
      const index = before + offset;
      this.#marks.push({ at: await this.#shownBy(this.#ids, index), index, text });
    }
  }

  /** Length of the text of the first `count` ids. Only what came since the last control token is read again. */
  async #shownBy(ids: TokenSequence, count: number): Promise<number> {
    // From the control token on, which shows nothing: first of all, a piece can lose the space it begins with.
    const { at, index } = this.#marks.findLast((mark) => mark.index < count) ?? { at: 0, index: 0 };
    return at + (await this.#llm.detokenize(ids.slice(index, count))).length;
  }

  #told(parsed: ReturnType<ReplyParser['push']>): PartDelta[] {
    return parsed.map((delta) => {
      const part = this.#parts[delta.index];
      if (delta.type !== 'tool-call') {
        const text = part !== undefined && 'text' in part ? part.text + delta.text : delta.text;
        this.#parts[delta.index] = { type: delta.type, text };
        return delta;
      }
      const callId = part?.type === 'tool-call' ? part.callId : this.#newCallId();
      const given = (part?.type === 'tool-call' ? part.arguments : '') + delta.arguments;
      this.#parts[delta.index] = { type: 'tool-call', callId, name: delta.name, arguments: given };
      return { ...delta, callId };
    });
  }

  /** How many ids show no more than `place` characters of what was read; `least`: as few as show all of them. */
  async #idAt(ids: TokenSequence, place: number, least = false): Promise<number> {
    let [low, high] = [0, ids.length];
    while (low < high) {
      const middle = least ? Math.floor((low + high) / 2) : Math.ceil((low + high) / 2);
      const read = await this.#readOf(ids, middle);
      if (least) [low, high] = read >= place ? [low, middle] : [middle + 1, high];
      else [low, high] = read <= place ? [middle, high] : [low, middle - 1];
    }
    return low;
  }

  async #readOf(ids: TokenSequence, count: number): Promise<number> {
    const marks = this.#marks.reduce((sum, { index, text }) => (index < count ? sum + text.length : sum), 0);
    return (await this.#shownBy(ids, count)) + marks;
  }
}

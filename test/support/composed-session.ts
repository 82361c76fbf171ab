import type { Layer } from '../../src/context-manager/layers/layer.ts';
import type { ToldLayers } from '../../src/context-manager/layers/told-layers.ts';
import type { TurnText } from '../../src/context-manager/modes/mode.ts';
import { tokenizedMode } from '../../src/context-manager/modes/tokenized.ts';
import type { CachedSession } from '../../src/context-manager/sessions/session-cache.ts';
import type { PartDelta } from '../../src/context-manager/turn/reply/reply-parts.ts';
import { type ReadReply, ReplyReading } from '../../src/context-manager/turn/reply/reply-reader.ts';
import type { TurnRequest } from '../../src/context-manager/turn/turn.ts';
import type { ContentPart } from '../../src/domain/record/message-content.ts';
import type { Preamble } from '../../src/domain/record/preamble.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { openRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import type { Message, StopReason, TurnRecord } from '../../src/domain/record/turn-record.ts';
import type { OverflowPolicy } from '../../src/domain/session/context-window.ts';
import { SessionHistory, type Turn } from '../../src/domain/session/session-history.ts';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import { type ChatTemplate, compileChatTemplate, type ReasoningPolicy } from '../../src/llm-service/chat-template.ts';
import type { Vocabulary } from '../../src/llm-service/llm-service.ts';
import { NOW } from './chat-templates/replies.ts';
import { byteTokenizer, type ToyTokenizer, templateDescription } from './toy-tokenizer.ts';

export interface ComposedModel {
  readonly tokenizer: ToyTokenizer;
  readonly template: ChatTemplate;
  readonly vocabulary: Vocabulary;
}

/** A template over one id for each byte and the control tokens, on 31 January 2026. */
export async function composedModel(
  given: { source: string; bosText: string; eosText: string; controls: readonly string[]; ends: readonly string[] },
  clock: { now(): number } = { now: () => NOW },
): Promise<ComposedModel> {
  const tokenizer = byteTokenizer(given.controls);
  const description = templateDescription(given.source, {
    ...given,
    endOfGeneration: given.ends.map((end) => tokenizer.control(end)),
  });
  const template = await compileChatTemplate(description, tokenizer.tokenize, clock);
  const vocabulary: Vocabulary = {
    description: { ...description, contextTokens: Number.MAX_SAFE_INTEGER },
    tokenize: tokenizer.tokenize,
    detokenize: async (ids, { special } = { special: false }) =>
      tokenizer.text(special ? ids : ids.filter((id) => !tokenizer.isControl(id))),
    pieces: async (ids) => ids.map((id) => Buffer.from(tokenizer.isControl(id) ? tokenizer.text([id]) : [id])),
  };
  return { tokenizer, template, vocabulary };
}

export interface BuiltTurn {
  /** Of the whole prompt. */
  readonly ids: readonly TokenId[];
  readonly contextStart: number;
  readonly rewrittenTokens: number;
  readonly layers: ToldLayers | undefined;
  /** It was only evaluated ahead of a turn. */
  evaluated(): void;
  /** Stores the turn with this reply. */
  written(text: string, stop?: StopReason): Promise<WrittenTurn>;
}

/** A stored turn, how its reply was read while it came, and how it is read now. */
export interface WrittenTurn extends Turn, ReadReply {
  readonly deltas: readonly PartDelta[];
  /** Its parts where it came id by id. */
  readonly byId: readonly ContentPart[];
  readonly text: TurnText;
}

const HEADER = {
  kind: 'turn',
  keygroup: '0'.repeat(16),
  userId: 'u',
  sessionId: 's',
  origin: 'e1',
  incarnation: '0'.repeat(8),
  writtenAtMs: 1,
  expiresAtMs: 2,
  sampling: { temperature: undefined, seed: undefined, maxTokens: undefined },
} as const;

/** A session in mode `tokenized` as a node keeps it, without the node. */
export class ComposedSession {
  readonly model: ComposedModel;
  readonly #windowTokens: number;
  readonly #overflow: OverflowPolicy;
  #session: CachedSession = emptySession();

  constructor(model: ComposedModel, options: { windowTokens?: number; overflow?: OverflowPolicy } = {}) {
    this.model = model;
    this.#windowTokens = options.windowTokens ?? Number.MAX_SAFE_INTEGER;
    this.#overflow = options.overflow ?? 'error';
  }

  get tip(): Turn | undefined {
    return this.#session.history.tip;
  }

  /** The same records at another node: nothing is folded yet. */
  elsewhere(): ComposedSession {
    const { model } = this;
    const other = new ComposedSession(model, { windowTokens: this.#windowTokens, overflow: this.#overflow });
    for (const tip of this.#session.history.tips()) {
      for (const { record } of this.#session.history.line(tip)) {
        other.#session.history.add(openRecord(sealRecord(record).bytes));
      }
    }
    return other;
  }

  async build(
    messages: readonly Message[],
    {
      base = this.tip,
      reasoning = 'as-template',
      preamble,
      layers = [],
    }: {
      base?: Turn | undefined;
      reasoning?: ReasoningPolicy;
      preamble?: Preamble;
      layers?: readonly Layer[];
    } = {},
  ): Promise<BuiltTurn> {
    const { template, vocabulary } = this.model;
    const described = { ...vocabulary.description, contextTokens: this.#windowTokens };
    const reading = new ReplyReading(vocabulary, template);
    const mode = tokenizedMode({ ...vocabulary, description: described }, template, reading);
    const request = {
      place: { tip: 'new' },
      messages,
      reasoning,
      preamble,
      overflow: this.#overflow,
    } as unknown as TurnRequest;
    const prompt = await mode.build({ request, session: this.#session, base, replyTokens: 1, layers });
    const { contextStart, rewrittenTokens, layers: told } = prompt;
    let calls = 0;
    return {
      ids: prompt.ids.slice(),
      contextStart,
      rewrittenTokens,
      layers: told,
      evaluated: () => prompt.evaluated(),
      written: async (text, stop = { kind: 'end' }) => {
        const ids = await this.model.tokenizer.tokenize(text, { parseSpecial: true });
        const plain = await vocabulary.detokenize(ids);
        const shown = stop.kind === 'word' ? plain.slice(0, plain.indexOf(stop.word)) : plain;
        const reply = { kind: 'end', ids, text: shown, exact: true, stop, usage: {} as never } as const;
        const turn = (base?.record.turn ?? 0) + 1;
        const read = () =>
          reading.reader({
            prompt: prompt.ids,
            tools: new Set(prompt.tools.map(({ name }) => name)),
            newCallId: () => `call_${turn}_${calls++}`,
          });
        const oneByOne = await read();
        for (const id of ids) await oneByOne.push({ text: await vocabulary.detokenize([id]), ids: [id] });
        const { parts: byId } = await oneByOne.end(ids);
        calls = 0;
        const reader = await read();
        const deltas = await reader.push(reply);
        const { deltas: last, ...found } = await reader.end(ids);
        const kept = await prompt.record(reply, found);
        const requestDigest = (Math.floor(turn).toString(16) + ids.length.toString(16)).padStart(16, '0');
        const record = { ...HEADER, turn, parent: base?.hash, requestDigest, contextStart, stop, ...kept };
        const sealed: SealedRecord = sealRecord(record as unknown as TurnRecord);
        this.#session.history.add(sealed);
        prompt.kept(sealed);
        const stored = { hash: sealed.hash, record: sealed.record as TurnRecord };
        return { ...stored, ...found, byId, deltas: [...deltas, ...last], text: await mode.read(stored) };
      },
    };
  }
}

function emptySession(): CachedSession {
  return { key: {} as never, history: new SessionHistory(), deleted: false, corrupt: 0, tokens: undefined };
}

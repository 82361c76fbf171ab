import type { TokenId, TokenSequence } from '../../src/domain/token-sequence.ts';
import type { LlmDescription, LlmService } from '../../src/llm-service/llm-service.ts';

/** A tokenizer small enough to reason about, with control tokens of the test's choosing. */
export interface ToyTokenizer {
  readonly tokenize: LlmService['tokenize'];
  /** Text of ids; control tokens as their text. */
  text(ids: TokenSequence): string;
  /** The id of a control token. */
  control(text: string): TokenId;
  isControl(id: TokenId): boolean;
  /** Texts tokenized so far. */
  readonly calls: { text: string; parseSpecial: boolean }[];
}

const CONTROL_START = 1_000_000;

/** One id per UTF-8 byte. */
export function byteTokenizer(controls: readonly string[]): ToyTokenizer {
  return toyTokenizer(controls, {
    encode: (text) => [...Buffer.from(text, 'utf8')],
    decode: (ids) => Buffer.from(ids).toString('utf8'),
  });
}

/**
 * One id per word, with the space before it, as byte-pair vocabularies have; other white space alone. `addsSpace`: a
 * text's start and what follows a control token get a space first, as SentencePiece does.
 */
export function wordTokenizer(controls: readonly string[], options: { addsSpace: boolean }): ToyTokenizer {
  const words: string[] = [];
  return toyTokenizer(controls, {
    encode: (text) =>
      ((options.addsSpace && text !== '' ? ' ' : '') + text).match(/ ?[^\s]+|\s/gu)?.map((word) => {
        if (!words.includes(word)) words.push(word);
        return words.indexOf(word);
      }) ?? [],
    decode: (ids) => ids.map((id) => words[id]).join(''),
  });
}

function toyTokenizer(
  controls: readonly string[],
  { encode, decode }: { encode: (text: string) => number[]; decode: (ids: readonly number[]) => string },
): ToyTokenizer {
  const calls: { text: string; parseSpecial: boolean }[] = [];
  const splitter = new RegExp(`(${controls.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|')})`);
  const isControl = (id: number) => id >= CONTROL_START;
  return {
    calls,
    isControl,
    async tokenize(text, { parseSpecial }) {
      calls.push({ text, parseSpecial });
      if (!parseSpecial || controls.length === 0) return encode(text) as TokenId[];
      return text
        .split(splitter)
        .flatMap((part) =>
          controls.includes(part) ? [CONTROL_START + controls.indexOf(part)] : encode(part),
        ) as TokenId[];
    },
    text(ids) {
      let text = '';
      let ordinary: number[] = [];
      for (const id of [...ids, CONTROL_START + controls.length]) {
        if (!isControl(id)) {
          ordinary.push(id);
          continue;
        }
        text += decode(ordinary) + (controls[id - CONTROL_START] ?? '');
        ordinary = [];
      }
      return text;
    },
    control: (text) => (CONTROL_START + controls.indexOf(text)) as TokenId,
  };
}

/** A description of a model with this template; only what a chat template looks at is meaningful. */
export function templateDescription(
  chatTemplate: string | undefined,
  options: {
    bosText?: string;
    eosText?: string;
    prependBos?: TokenId | undefined;
    endOfGeneration?: readonly TokenId[];
  } = {},
): LlmDescription {
  return {
    identity: { name: 'toy', tokenizerDigest: '', templateDigest: '' },
    contextTokens: 4096,
    vocabularySize: CONTROL_START,
    chatTemplate,
    bosText: options.bosText ?? '',
    eosText: options.eosText ?? '',
    prependBos: options.prependBos,
    endOfGeneration: new Set(options.endOfGeneration ?? []),
  };
}

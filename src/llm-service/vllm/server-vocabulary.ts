import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { DiscedgeError } from '../../domain/errors.ts';
import { appendTokens, TOKEN_ID_MAX, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import { someAtOnce } from '../../waiting/some-at-once.ts';
import { END_TOKEN_TEXTS } from '../end-token-texts.ts';
import type { ServerConnection } from '../http/server-connection.ts';
import { isClosed } from '../http/server-errors.ts';
import { byteLevelTokenBytes } from '../vocabulary-bytes.ts';
import type { ModelVocabulary } from './model-vocabulary.ts';
import { Places } from './places.ts';
import type { TokenizerInfo } from './served-model.ts';

const isTokens = Compile(
  Type.Object({
    tokens: Type.Array(Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX })),
    token_strs: Type.Optional(Type.Union([Type.Null(), Type.Array(Type.String())])),
  }),
);
const isPrompt = Compile(Type.Object({ prompt: Type.String() }));

/** Each part between them is a request; a text full of look-alikes must not become thousands. */
const LOOK_ALIKES_MAX = 64;
/** Bounds what is remembered; most vocabularies are larger, and most of their ids never asked for. */
const TEXTS_MAX = 65_536;
/** At once, of all who ask; beyond it connections would not be kept. */
const REQUESTS_MAX = 16;
const NOT_KNOWN = 'A token id is outside the vocabulary of the model.';

/** vLLM's tokenizer (`/tokenize`, `/detokenize`), which reads control tokens in every text. */
export class ServerVocabulary implements ModelVocabulary {
  readonly where = 'vLLM';
  readonly asksServer = true;
  readonly chatTemplate: string | undefined;
  readonly bosText: string;
  readonly eosText: string;
  readonly vocabularySize = TOKEN_ID_MAX + 1;
  prependBos: TokenId | undefined;
  endOfGeneration: ReadonlySet<TokenId> = new Set();
  readonly #connection: ServerConnection;
  readonly #model: string;
  readonly #info: TokenizerInfo;
  readonly #places = new Places(REQUESTS_MAX);
  /** Ids of control tokens, which have no text. */
  #controls: ReadonlySet<TokenId> = new Set();
  /** Of single ids, as they were asked for. */
  readonly #texts = new Map<TokenId, string>();
  /** Finds what the tokenizer would read as one added token, longest first. */
  readonly #addedToken: RegExp | undefined;

  private constructor(connection: ServerConnection, model: string, info: TokenizerInfo) {
    this.#connection = connection;
    this.#model = model;
    this.#info = info;
    this.chatTemplate = info.chatTemplate;
    this.bosText = info.bosText;
    this.eosText = info.eosText;
    const texts = [...new Set([...info.addedTokens, ...info.namedTokens])].sort((a, b) => b.length - a.length);
    this.#addedToken = texts.length === 0 ? undefined : new RegExp(texts.map(escaped).join('|'), 'g');
  }

  static async open(connection: ServerConnection, model: string, info: TokenizerInfo): Promise<ServerVocabulary> {
    const vocabulary = new ServerVocabulary(connection, model, info);
    await vocabulary.#learn();
    return vocabulary;
  }

  async tokenize(
    text: string,
    { parseSpecial }: { readonly parseSpecial: boolean },
    signal?: AbortSignal,
  ): Promise<TokenId[]> {
    if (text === '') return [];
    const wellFormed = text.toWellFormed();
    const ids: TokenId[] = [];
    for (const part of parseSpecial ? [wellFormed] : this.#withoutAddedTokens(wellFormed)) {
      appendTokens(ids, (await this.#ask(part, { addSpecial: false }, signal)).ids);
    }
    return ids;
  }

  async detokenize(ids: TokenSequence, { special } = { special: false }): Promise<string> {
    if (!ids.every((id) => Number.isInteger(id) && id >= 0 && id <= TOKEN_ID_MAX)) {
      throw new DiscedgeError('invalid_request', NOT_KNOWN);
    }
    const shown = special ? ids : ids.filter((id) => !this.#controls.has(id));
    if (shown.length === 0) return '';
    return shown.length === 1 ? this.#textOf(shown[0] as TokenId) : this.#askText(shown);
  }

  /** Of ids that are not what their text is tokenized to, half a character is told as U+FFFD. */
  async pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    const text = await this.detokenize(ids, { special: true });
    if (ids.length === 0) return [];
    const { ids: again, strings } = await this.#ask(text, { addSpecial: false, strings: true });
    if (strings !== undefined && again.length === ids.length && again.every((id, i) => id === ids[i])) {
      const pieces = strings.map((string, i) => this.#bytesOf(string, ids[i] as TokenId));
      if (Buffer.concat(pieces).toString('utf8') === text) return pieces;
    }
    return someAtOnce(ids, REQUESTS_MAX, async (id) => Buffer.from(await this.#textOf(id)));
  }

  forget(): void {
    this.#texts.clear();
  }

  async close(): Promise<void> {
    this.#places.close(isClosed());
  }

  async #textOf(id: TokenId): Promise<string> {
    const known = this.#texts.get(id);
    if (known !== undefined) return known;
    const text = await this.#askText([id]);
    if (this.#texts.size < TEXTS_MAX) this.#texts.set(id, text);
    return text;
  }

  async #askText(ids: TokenSequence): Promise<string> {
    const reply = await this.#post('detokenize', { tokens: ids });
    if (!isPrompt.Check(reply)) throw this.#connection.badReply('something that is not the text of ids');
    return reply.prompt;
  }

  #bytesOf(string: string, id: TokenId): Uint8Array {
    if (this.#controls.has(id)) return Buffer.from(string);
    return byteLevelTokenBytes(string) ?? Buffer.from(string.replaceAll('\u2581', ' '));
  }

  async #learn(): Promise<void> {
    const { addedTokens, namedTokens, bosText } = this.#info;
    const controls = new Map<string, TokenId>();
    for (const text of new Set([...addedTokens, ...namedTokens])) {
      const isControl = namedTokens.has(text) || END_TOKEN_TEXTS.includes(text) || /^<\|.*\|>$/su.test(text);
      const { ids } = isControl ? await this.#ask(text, { addSpecial: false }) : { ids: [] };
      if (ids.length === 1) controls.set(text, ids[0] as TokenId);
    }
    this.#controls = new Set(controls.values());
    const ends = [this.#info.eosText, ...END_TOKEN_TEXTS].flatMap((text) => controls.get(text) ?? []);
    this.endOfGeneration = new Set(ends);
    const [first] = (await this.#ask('a', { addSpecial: true })).ids;
    this.prependBos = first !== undefined && first === controls.get(bosText) ? first : undefined;
    await this.#requireSplitting([...controls.keys()]);
  }

  /** Some tokenizers put a space before each text: with them a text in parts is not the text. */
  async #requireSplitting(controls: readonly string[]): Promise<void> {
    const text = `a${controls.slice(0, 3).join('b')}c`;
    const ids = await this.tokenize(text, { parseSpecial: false });
    if (!ids.some((id) => this.#controls.has(id)) && (await this.detokenize(ids, { special: true })) === text) return;
    throw new DiscedgeError(
      'model_unusable',
      `vLLM at ${this.#connection.url.origin} reads control tokens in users' texts, and its tokenizer has no other way: name the ` +
        "model's tokenizer.json, or a GGUF file with its vocabulary, with --llm-tokenizer",
    );
  }

  /** The text in parts, cut inside of what would be read as one token, at a place where the tokenizer would cut as well. */
  #withoutAddedTokens(text: string): string[] {
    const cuts = this.#addedToken === undefined ? [] : [...text.matchAll(this.#addedToken)];
    if (cuts.length > LOOK_ALIKES_MAX) {
      const message = `The text has ${cuts.length} look-alikes of control tokens, and vLLM's tokenizer can take ${LOOK_ALIKES_MAX}.`;
      throw new DiscedgeError('invalid_request', message, { param: 'prompt' });
    }
    const parts: string[] = [];
    let from = 0;
    for (const { index, 0: token } of cuts) {
      const to = index + cutOf(token);
      parts.push(text.slice(from, to));
      from = to;
    }
    parts.push(text.slice(from));
    return parts.filter((part) => part !== '');
  }

  async #ask(
    text: string,
    { addSpecial, strings = false }: { readonly addSpecial: boolean; readonly strings?: boolean },
    signal?: AbortSignal,
  ): Promise<{ ids: TokenId[]; strings: readonly string[] | undefined }> {
    const body = { prompt: text, add_special_tokens: addSpecial, return_token_strs: strings };
    const reply = await this.#post('tokenize', body, signal);
    if (!isTokens.Check(reply)) throw this.#connection.badReply('something that is not the ids of a text');
    return { ids: reply.tokens as TokenId[], strings: reply.token_strs ?? undefined };
  }

  async #post(path: string, body: object, signal = new AbortController().signal): Promise<unknown> {
    const lease = await this.#places.take(signal);
    try {
      return await this.#connection.post(path, JSON.stringify({ model: this.#model, ...body }), signal);
    } finally {
      lease.giveBack();
    }
  }
}

/** Behind the punctuation that it begins with, before an underscore, or behind its first character. */
function cutOf(token: string): number {
  const [punctuation = ''] = /^[^\p{L}\p{N}\s]+(?=[\p{L}\p{N}])/u.exec(token) ?? [];
  if (punctuation.length > 1) return punctuation.length;
  const underscore = token.indexOf('_');
  if (underscore > 0) return underscore;
  return (token.codePointAt(0) as number) > 0xffff ? 2 : 1;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { DiscedgeError } from '../../domain/errors.ts';
import type { TokenId, TokenSequence } from '../../domain/token-sequence.ts';
import type { ServerConnection } from '../http/server-connection.ts';
import { badReply } from './server-errors.ts';

/** How control tokens are written in the vocabularies there are: `<|im_end|>`, `</s>`, `[INST]`. */
const CONTROL_TOKEN_TEXT = /<[^<>\s]{1,64}>|\[\/?[A-Z_]{1,32}\]/gu;
/** Each costs two requests, once; a text full of look-alikes must not become thousands of them. */
const LOOK_ALIKES_MAX = 64;
/** Bounds what is remembered of texts that users can choose. */
const REMEMBERED_TEXTS_MAX = 4_096;

const isTokens = Compile(Type.Object({ tokens: Type.Array(Type.Integer({ minimum: 0 })) }));
const isContent = Compile(Type.Object({ content: Type.String() }));
const Byte = Type.Integer({ minimum: 0, maximum: 255 });
const isPieces = Compile(
  Type.Object({ tokens: Type.Array(Type.Object({ piece: Type.Union([Type.String(), Type.Array(Byte)]) })) }),
);

/** llama-server's tokenizer (`/tokenize`, `/detokenize`). Errors are those of ServerConnection. */
export class ServerTokenizer {
  readonly #connection: ServerConnection;
  readonly #vocabularySize: number;
  /** Texts looked at so far: the id where the text is a control token's, otherwise `undefined`. */
  readonly #controlTokens = new Map<string, TokenId | undefined>();

  constructor(connection: ServerConnection, vocabularySize: number) {
    this.#connection = connection;
    this.#vocabularySize = vocabularySize;
  }

  /** A lone surrogate counts as U+FFFD. `addSpecial` puts BOS before it where the model wants one. */
  async tokenize(
    text: string,
    { parseSpecial, addSpecial = false }: { readonly parseSpecial: boolean; readonly addSpecial?: boolean },
    signal?: AbortSignal,
  ): Promise<TokenId[]> {
    const body = { content: text.toWellFormed(), add_special: addSpecial, parse_special: parseSpecial };
    const reply = await this.#connection.post('tokenize', JSON.stringify(body), signal);
    if (!isTokens.Check(reply) || reply.tokens.some((id) => id >= this.#vocabularySize)) {
      throw badReply(this.#connection.url, 'something that is not the ids of a text');
    }
    return reply.tokens as TokenId[];
  }

  /** Text of ids, control tokens left out. Throws `invalid_request` for ids outside the vocabulary. */
  async detokenize(ids: TokenSequence, signal?: AbortSignal): Promise<string> {
    for (;;) {
      const controls = new Set(this.#controlTokens.values());
      const shown = ids.filter((id) => !controls.has(id));
      const text = await this.spell(shown, signal);
      // The server spells control tokens out. Which ids they are it does not tell, but what they look like is known.
      const found = await this.#controlTokensIn(text, signal);
      if (!shown.some((id) => found.has(id))) return text;
    }
  }

  /** Text of ids, control tokens spelled out. Throws `invalid_request` for ids outside the vocabulary. */
  async spell(ids: TokenSequence, signal?: AbortSignal): Promise<string> {
    this.requireInVocabulary(ids);
    if (ids.length === 0) return '';
    const reply = await this.#connection.post('detokenize', JSON.stringify({ tokens: ids }), signal);
    if (!isContent.Check(reply)) throw badReply(this.#connection.url, 'something that is not the text of ids');
    return reply.content;
  }

  /** The bytes of each id by itself. Throws `invalid_request` for ids outside the vocabulary. */
  async pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    this.requireInVocabulary(ids);
    if (ids.length === 0) return [];
    // Ids in a text to be tokenized stand for themselves.
    const reply = await this.#connection.post('tokenize', JSON.stringify({ content: ids, with_pieces: true }));
    if (!isPieces.Check(reply) || reply.tokens.length !== ids.length) {
      throw badReply(this.#connection.url, 'something that is not the pieces of ids');
    }
    return reply.tokens.map(({ piece }) => (typeof piece === 'string' ? Buffer.from(piece) : Uint8Array.from(piece)));
  }

  /** The id of a control token, if `text` is one's. */
  async controlToken(text: string, signal?: AbortSignal): Promise<TokenId | undefined> {
    if (this.#controlTokens.has(text)) return this.#controlTokens.get(text);
    const [id, ...rest] = await this.tokenize(text, { parseSpecial: true }, signal);
    const isOne = id !== undefined && rest.length === 0 && (await this.#isOnlySpecial(text, id, signal));
    if (this.#controlTokens.size < REMEMBERED_TEXTS_MAX || isOne) this.#controlTokens.set(text, isOne ? id : undefined);
    return isOne ? id : undefined;
  }

  requireInVocabulary(ids: TokenSequence): void {
    // A prompt has thousands: a loop takes a sixth of what a callback does.
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      if (id >= 0 && id < this.#vocabularySize && Number.isInteger(id)) continue;
      throw new DiscedgeError('invalid_request', 'A token id is outside the vocabulary of the model.');
    }
  }

  async #controlTokensIn(text: string, signal: AbortSignal | undefined): Promise<Set<TokenId>> {
    const lookAlikes = [...new Set(text.match(CONTROL_TOKEN_TEXT))];
    const found = new Set<TokenId>();
    for (const lookAlike of lookAlikes.slice(0, LOOK_ALIKES_MAX)) {
      const id = await this.controlToken(lookAlike, signal);
      if (id !== undefined) found.add(id);
    }
    return found;
  }

  async #isOnlySpecial(text: string, id: TokenId, signal: AbortSignal | undefined): Promise<boolean> {
    const ordinary = await this.tokenize(text, { parseSpecial: false }, signal);
    return ordinary.length !== 1 || ordinary[0] !== id;
  }
}

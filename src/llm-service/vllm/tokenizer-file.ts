import { open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { DiscedgeError } from '../../domain/errors.ts';
import { TOKEN_ID_MAX, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import { readTemplateFile } from '../chat-template/template-file.ts';
import { END_TOKEN_TEXTS } from '../end-token-texts.ts';
import { assertVocabulary } from '../prompt-checks.ts';
import { VocabularyBytes } from '../vocabulary-bytes.ts';
import type { ModelVocabulary } from './model-vocabulary.ts';

/** The largest known has 35 MB. */
const FILE_BYTES_MAX = 256 * 1024 * 1024;

/** `token_type` as GGUF numbers it. */
const TYPE = { normal: 1, control: 3, userDefined: 4, byte: 6 } as const;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

interface TokenizerJson {
  readonly added_tokens?: readonly AddedToken[];
  readonly model: { readonly type?: string };
  readonly decoder?: unknown;
}

/**
 * The vocabulary of a Hugging Face `tokenizer.json`. What lies beside it tells more, where it is there: `tokenizer_config.json` (chat
 * template, BOS, EOS), `chat_template.jinja`, `config.json` (ids that the model has beyond the tokenizer's) and
 * `generation_config.json` (further ids that end a reply). Throws `model_unusable` for a file that is none.
 */
export async function openTokenizerFile(path: string): Promise<ModelVocabulary> {
  const json = (await readJson(path)) as TokenizerJson | undefined;
  if (json === undefined) throw unusable(path, 'it cannot be read here');
  const beside = (name: string) => readJson(join(dirname(path), name));
  const [config = {}, model = {}, generation = {}] = (await Promise.all([
    beside('tokenizer_config.json'),
    beside('config.json'),
    beside('generation_config.json'),
  ])) as Record<string, unknown>[];
  let tokenizer: Tokenizer;
  let plain: Tokenizer;
  const added = json.added_tokens ?? [];
  try {
    tokenizer = new Tokenizer(json, config);
    // Without its control tokens it reads their texts as any text.
    plain = new Tokenizer({ ...json, added_tokens: added.filter(({ special }) => special !== true) }, config);
    tokenizer.encode('a');
    if (![...tokenizer.get_vocab(true).values()].every(isTokenId)) throw new TypeError('tokens without ids');
  } catch (cause) {
    throw unusable(path, 'it is not a tokenizer that is known here', cause);
  }
  return new FileVocabulary({
    path,
    json,
    tokenizer,
    plain,
    config,
    model,
    generation,
    chatTemplate: await templateOf(path),
  });
}

interface FileParts {
  readonly path: string;
  readonly json: TokenizerJson;
  readonly tokenizer: Tokenizer;
  readonly plain: Tokenizer;
  readonly config: Readonly<Record<string, unknown>>;
  readonly model: Readonly<Record<string, unknown>>;
  readonly generation: Readonly<Record<string, unknown>>;
  readonly chatTemplate: string | undefined;
}

class FileVocabulary implements ModelVocabulary {
  readonly where: string;
  readonly asksServer = false;
  readonly chatTemplate: string | undefined;
  readonly bosText: string;
  readonly eosText: string;
  readonly vocabularySize: number;
  readonly prependBos: TokenId | undefined;
  readonly endOfGeneration: ReadonlySet<TokenId>;
  readonly #path: string;
  readonly #tokenizer: Tokenizer;
  readonly #plain: Tokenizer;
  readonly #bytes: VocabularyBytes;

  constructor({ path, json, tokenizer, plain, config, model, generation, chatTemplate }: FileParts) {
    const vocabulary = tokenizer.get_vocab(true);
    const idOf = (text: string) => vocabulary.get(text) as TokenId | undefined;
    const controls = new Set((json.added_tokens ?? []).filter(({ special }) => special).map(({ content }) => content));
    this.where = `here, with ${path}`;
    this.chatTemplate = chatTemplate;
    this.bosText = textOf(config.bos_token);
    this.eosText = textOf(config.eos_token);
    this.#path = path;
    this.#tokenizer = tokenizer;
    this.#plain = plain;
    const largest = [...vocabulary.values()].reduce((a, b) => Math.max(a, b), 0);
    const { vocab_size: modelSize } = { ...model, ...(model.text_config as object | undefined) } as {
      vocab_size?: unknown;
    };
    this.vocabularySize = Math.max(largest + 1, isTokenId(modelSize) ? modelSize : 0);
    const [first] = tokenizer.encode('a').ids as TokenId[];
    this.prependBos = first !== undefined && first === idOf(this.bosText) ? first : undefined;
    const ends = END_TOKEN_TEXTS.filter((text) => controls.has(text)).map(idOf);
    const generated = [generation.eos_token_id].flat().filter(isTokenId);
    this.endOfGeneration = new Set([idOf(this.eosText), ...ends, ...generated].filter((id) => id !== undefined));
    this.#bytes = new VocabularyBytes(bytesSource(json, vocabulary));
  }

  async tokenize(text: string, { parseSpecial }: { readonly parseSpecial: boolean }): Promise<TokenId[]> {
    if (text === '') return [];
    const { ids }: { readonly ids: readonly unknown[] } = (parseSpecial ? this.#tokenizer : this.#plain).encode(
      text.toWellFormed(),
      {
        add_special_tokens: false,
      },
    );
    // A token that is missing, a byte's for instance, gets no id, and that is none of the model's.
    if (!ids.every((id) => isTokenId(id) && id < this.vocabularySize))
      throw unusable(this.#path, 'it lacks tokens that a text needs');
    return ids as TokenId[];
  }

  async detokenize(ids: TokenSequence, { special } = { special: false }): Promise<string> {
    assertVocabulary(ids, this);
    if (ids.length === 0) return '';
    const options = { skip_special_tokens: !special, clean_up_tokenization_spaces: false };
    return this.#tokenizer.decode([...ids], options);
  }

  async pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    assertVocabulary(ids, this);
    return ids.map((id) => this.#bytes.bytesOf(id) ?? Buffer.from(this.#tokenizer.decode([id])));
  }

  async close(): Promise<void> {}
}

function bytesSource({ added_tokens: added = [], decoder }: TokenizerJson, vocabulary: ReadonlyMap<string, number>) {
  const tokens: string[] = [];
  const types: number[] = [];
  for (const [text, id] of vocabulary) {
    tokens[id] = text;
    types[id] = /^<0x[0-9A-F]{2}>$/i.test(text) ? TYPE.byte : TYPE.normal;
  }
  for (const { id, content, special } of added) {
    tokens[id] = content;
    types[id] = special ? TYPE.control : TYPE.userDefined;
  }
  const isByteLevel = JSON.stringify(decoder ?? null).includes('"ByteLevel"');
  return { model: isByteLevel ? 'gpt2' : 'llama', tokens, token_type: types };
}

async function templateOf(path: string): Promise<string | undefined> {
  for (const name of ['chat_template.jinja', 'tokenizer_config.json']) {
    const file = join(dirname(path), name);
    const isThere = await open(file).then(
      (handle) => handle.close().then(() => true),
      () => false,
    );
    const [template] = isThere ? await readTemplateFile(file) : [];
    if (template !== undefined) return template.source;
  }
  return undefined;
}

function isTokenId(value: unknown): value is TokenId {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= TOKEN_ID_MAX;
}

function textOf(token: unknown): string {
  if (typeof token === 'string') return token;
  const { content } = (token ?? {}) as { content?: unknown };
  return typeof content === 'string' ? content : '';
}

/** `undefined` for a file that is not there. */
async function readJson(path: string): Promise<object | undefined> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    if ((await file.stat()).size > FILE_BYTES_MAX) throw unusable(path, `it is longer than ${FILE_BYTES_MAX} bytes`);
    const value: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    if (cause instanceof DiscedgeError) throw cause;
    throw unusable(path, 'it is not JSON', cause);
  } finally {
    await file.close();
  }
  throw unusable(path, 'it is not a JSON object');
}

function unusable(path: string, why: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('model_unusable', `tokenizer file ${path}: ${why}`, { cause });
}

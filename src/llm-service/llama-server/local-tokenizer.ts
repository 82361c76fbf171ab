import { access, constants } from 'node:fs/promises';
import { DiscedgeError } from '../../domain/errors.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import type { Logger } from '../../environment/environment.ts';
import { END_TOKEN_TEXTS } from '../end-token-texts.ts';
import { isLlmFailure, type LlmDescription, type LlmService } from '../llm-service.ts';
import type { ServerTokenizer } from './server-tokenizer.ts';

/** The GGUF file whose vocabulary tokenizes here: the one that llama-server's `/props` names, or another. */
export type TokenizerFile = { readonly toldBy: 'llama-server' } | { readonly path: string };

export interface LocalTokenizerOptions {
  readonly file: TokenizerFile;
  /** Opens the vocabulary of a GGUF file in a process of its own: native code reads what users write. */
  start(path: string): Promise<LlmService>;
}

interface ServersSide {
  readonly description: LlmDescription;
  readonly tokenizer: ServerTokenizer;
  /** As `/props` names it; it may be another machine's. */
  readonly modelFile: string | undefined;
}

/** llama-server's tokenizer, without llama-server: the vocabulary of its model's file, in a process of this node's. */
export class LocalTokenizer {
  readonly path: string;
  readonly #service: LlmService;

  private constructor(path: string, service: LlmService) {
    this.path = path;
    this.#service = service;
  }

  /** `undefined`, and the operator is told why, where the file cannot be had or does not tokenize as the server does. */
  static async open(
    { file, start }: LocalTokenizerOptions,
    { description, tokenizer, modelFile }: ServersSide,
    logger: Logger,
  ): Promise<LocalTokenizer | undefined> {
    let service: LlmService | undefined;
    try {
      const path = 'path' in file ? file.path : modelFile;
      if (!path) throw new DiscedgeError('model_unusable', 'llama-server does not say which file it serves');
      await access(path, constants.R_OK).catch((cause: unknown) => {
        throw new DiscedgeError('model_unusable', `model file ${path} cannot be read here`, { cause });
      });
      service = await start(path);
      if (!(await isAlike(service, { description, tokenizer }))) {
        throw new DiscedgeError('model_unusable', `model file ${path} tokenizes otherwise than llama-server`);
      }
      return new LocalTokenizer(path, service);
    } catch (error) {
      await service?.close();
      logger.warn('llama_server_tokenizes_alone', { effect: 'each text is a request to llama-server' }, error);
      return undefined;
    }
  }

  /** `undefined` while its process is not up, or when it ended over this text. */
  async tokenize(text: string, how: { readonly parseSpecial: boolean }): Promise<TokenId[] | undefined> {
    if (this.#service.process?.isUp === false) return undefined;
    try {
      return await this.#service.tokenize(text.toWellFormed(), how);
    } catch (error) {
      if (isLlmFailure(error)) return undefined;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#service.close();
  }
}

async function isAlike(
  service: LlmService,
  { description, tokenizer }: Pick<ServersSide, 'description' | 'tokenizer'>,
): Promise<boolean> {
  const own = service.description;
  if (own.identity.tokenizerDigest !== description.identity.tokenizerDigest) return false;
  if (own.vocabularySize !== description.vocabularySize) return false;
  const controls = END_TOKEN_TEXTS.join(' ');
  const how = { parseSpecial: true };
  const [here, there] = await Promise.all([service.tokenize(controls, how), tokenizer.tokenize(controls, how)]);
  return here.length === there.length && here.every((id, i) => id === there[i]);
}

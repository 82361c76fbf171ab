import type { TokenId } from '../../src/domain/token-sequence.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';

/** Control tokens of ChatML, which the engines behind the double speak. */
const CONTROL_TEXTS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];

/** `/tokenizer_info`: what transformers writes into a `tokenizer_config.json`. */
export async function tokenizerInfo(engine: LlmService) {
  const { description } = engine;
  const added: Record<string, string> = {};
  for (const text of CONTROL_TEXTS) {
    const ids = await engine.tokenize(text, { parseSpecial: true });
    if (ids.length === 1) added[String(ids[0])] = text;
  }
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    eos_token: description.eosText,
    bos_token: description.bosText || null,
    clean_up_tokenization_spaces: false,
    chat_template: description.chatTemplate,
    added_tokens_decoder: added,
    backend: 'tokenizers',
  };
}

/** `/tokenize`: control tokens are always read, as by a tokenizer of transformers. */
export async function tokenizeReply(
  engine: LlmService,
  { prompt, add_special_tokens: addSpecial = true, return_token_strs: wantsStrings }: Record<string, unknown>,
) {
  const { prependBos, contextTokens } = engine.description;
  const ids = await engine.tokenize(String(prompt), { parseSpecial: true });
  const tokens = addSpecial === true && prependBos !== undefined ? [prependBos, ...ids] : ids;
  const strings = wantsStrings === true ? await tokenStrings(engine, tokens) : null;
  return { count: tokens.length, max_model_len: contextTokens, tokens, token_strs: strings };
}

async function tokenStrings(engine: LlmService, ids: readonly TokenId[]): Promise<string[]> {
  const pieces = await engine.pieces(ids);
  return pieces.map((bytes) =>
    CONTROL_TEXTS.includes(Buffer.from(bytes).toString())
      ? Buffer.from(bytes).toString()
      : Array.from(bytes, (byte) => CHARACTER_OF_BYTE[byte]).join(''),
  );
}

/** Byte-level BPE: what Latin-1 cannot print stands from U+0100 on. */
const CHARACTER_OF_BYTE: readonly string[] = ((next) =>
  Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(isPrintable ? byte : next++);
  }))(0x100);

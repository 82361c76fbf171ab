/** llama.cpp's type of an id that stands for text, and not for control, padding or a single byte. */
const NORMAL_TOKEN = 1;
/** A whole English-looking word with the space before it, as byte-level BPE and SentencePiece write it. */
const WORD = /^[Ġ▁][a-z]+$/;
/**
 * Vocabularies are made in the order of frequency, so their first words are those of ordinary text: as long as words in
 * text are, and in a turn record two bytes each, as the ids of ordinary text are.
 */
export const REPLY_WORDS_MAX = 4_096;
/** Fewer would make a reply of one word again and again. */
const REPLY_WORDS_MIN = 16;

/**
 * The ids a model with random weights replies with: whole words. Their text, tokenized again, gives the same ids, so that
 * a raw session has as many ids as a tokenized one, and no stream has to hold half a character back. In a vocabulary
 * without such words, every id that stands for text.
 */
export function replyWords(tokens: readonly string[], types: readonly number[] | undefined): readonly number[] {
  const ordinary = [...tokens.keys()].filter((id) => types === undefined || types[id] === NORMAL_TOKEN);
  const words = ordinary.filter((id) => WORD.test(tokens[id] as string)).slice(0, REPLY_WORDS_MAX);
  return words.length >= REPLY_WORDS_MIN ? words : ordinary;
}

import type { TokenId } from '../../domain/token-sequence.ts';
import { someAtOnce } from '../../waiting/some-at-once.ts';
import type { ModelVocabulary } from './model-vocabulary.ts';

/** Of a reply's candidates, each of which may be a request to the server. */
const TEXTS_AT_ONCE = 16;

/** The bytes of each id by itself, none of a control token. Throws the signal's reason. */
export async function shownBytesOf(
  ids: readonly TokenId[],
  vocabulary: Pick<ModelVocabulary, 'detokenize' | 'pieces'>,
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const texts = await someAtOnce(ids, TEXTS_AT_ONCE, async (id) => {
    signal.throwIfAborted();
    return vocabulary.detokenize([id]);
  });
  const pieces = await vocabulary.pieces(ids);
  return pieces.map((piece, i) => (texts[i] === '' ? Buffer.of() : piece));
}

/** In any language: where scripts have no spaces, Unicode's rules and ICU's dictionaries say where words end. */
const WORDS = new Intl.Segmenter(undefined, { granularity: 'word' });

/** Characters that are segmented at once: in V8 the time grows with the square of them, to seconds for a long turn. */
const PIECE_CHARS = 512;

/** The words of the first `charsMax` characters of a text, in lower case. */
export function wordsOf(text: string, charsMax: number): string[] {
  // Written out, a character can become many.
  const written = text.slice(0, charsMax).normalize('NFKC').toLowerCase().slice(0, charsMax);
  const words: string[] = [];
  for (let from = 0; from < written.length; ) {
    const to = pieceEnd(written, from);
    for (const { segment, isWordLike } of WORDS.segment(written.slice(from, to))) {
      if (isWordLike) words.push(segment);
    }
    from = to;
  }
  return words;
}

/** Between two words, where spaces tell; else a word may be cut in two, one in some hundred. */
function pieceEnd(text: string, from: number): number {
  const to = from + PIECE_CHARS;
  if (to >= text.length) return text.length;
  const piece = text.slice(from, to);
  const space = Math.max(piece.lastIndexOf(' '), piece.lastIndexOf('\n'));
  return space > 0 ? from + space : to;
}

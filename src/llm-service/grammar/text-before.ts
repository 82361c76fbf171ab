/** How rules of {@link textBefore} go on. */
interface Continuation {
  /** What begins the names of the rules; `NAME-0` is the first. */
  readonly name: string;
  /** The rule that follows the mark; left out: nothing does. */
  readonly next?: string;
  /** Whether the text may end without the mark. */
  readonly mayEnd: boolean;
}

/**
 * GBNF rules of any text up to and with the first `mark`, which is not empty: one rule for each character of it that has
 * been seen, so that a text which has only its beginning goes on as text.
 */
export function textBefore(mark: string, { name, next: following, mayEnd }: Continuation): string {
  const letters = [...mark];
  const alphabet = [...new Set(letters)];
  return letters
    .map((_letter, seen) => {
      const onwards = alphabet.map((letter) => ({ letter, next: seenAfter(letters, seen, letter) }));
      const ways = onwards
        .filter(({ next }) => next > 0)
        .map(
          ({ letter, next }) => `[${inClass(letter)}] ${next < letters.length ? `${name}-${next}` : (following ?? '')}`,
        );
      const known = onwards.filter(({ next }) => next > 0).map(({ letter }) => inClass(letter));
      const all = [`[^${known.join('')}] ${name}-0`, ...ways, ...(mayEnd ? ['""'] : [])];
      return `${name}-${seen} ::= ${all.map((way) => way.trimEnd()).join(' | ')}\n`;
    })
    .join('');
}

/** How much of the mark a text ends with that ended with `seen` characters of it, and has one more. */
function seenAfter(mark: readonly string[], seen: number, letter: string): number {
  const text = [...mark.slice(0, seen), letter];
  for (let length = text.length; length > 0; length--) {
    if (mark.slice(0, length).every((one, at) => one === text[text.length - length + at])) return length;
  }
  return 0;
}

/** A character as it stands in a class of characters. */
export function inClass(letter: string): string {
  if (letter === '\n') return '\\n';
  if (letter === '\r') return '\\r';
  if (letter === '\t') return '\\t';
  const code = letter.codePointAt(0) as number;
  return code < 0x20 || '\\]^-['.includes(letter) ? `\\x${code.toString(16).toUpperCase().padStart(2, '0')}` : letter;
}

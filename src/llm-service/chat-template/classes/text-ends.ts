import { strip } from '../../jinja/text.ts';

/** What a template removes at one end of a text. */
export type Trim = 'nothing' | 'line-breaks' | 'white-space';

/** White space that is put at the ends of a text to see what a template removes. */
export const PADDINGS = {
  mixed: { start: ' \n', end: '\n ' },
  lines: { start: '\n', end: '\n' },
} as const;

/** What a template removes at the ends of a message's content. */
export class TextEnds {
  readonly #start: Trim;
  readonly #end: Trim;

  constructor(start: Trim, end: Trim) {
    this.#start = start;
    this.#end = end;
  }

  /**
   * Looks at the literals around a content, as they are and with each of {@link PADDINGS} around the content. A literal between
   * two contents grows at both its ends, so only the end that touches this content counts.
   */
  static between(
    before: string,
    after: string,
    padded: (kind: keyof typeof PADDINGS) => readonly [string, string],
  ): TextEnds {
    const removed = (kind: keyof typeof PADDINGS): readonly [boolean, boolean] => {
      const [paddedBefore, paddedAfter] = padded(kind);
      return [
        !paddedBefore.endsWith(before + PADDINGS[kind].start),
        !paddedAfter.startsWith(PADDINGS[kind].end + after),
      ];
    };
    const [mixed, lines] = [removed('mixed'), removed('lines')];
    return new TextEnds(trimOf(mixed[0], lines[0]), trimOf(mixed[1], lines[1]));
  }

  removedFrom(text: string): string {
    return trimEnd(trimStart(text, this.#start), this.#end);
  }
}

export function trimStart(text: string, trim: Trim): string {
  if (trim === 'nothing') return text;
  return trim === 'white-space' ? strip(text, { start: true, end: false }) : text.replace(/^\n+/, '');
}

function trimEnd(text: string, trim: Trim): string {
  if (trim === 'nothing') return text;
  return trim === 'white-space' ? strip(text, { start: false, end: true }) : text.replace(/\n+$/, '');
}

function trimOf(mixed: boolean, lines: boolean): Trim {
  if (mixed) return 'white-space';
  return lines ? 'line-breaks' : 'nothing';
}

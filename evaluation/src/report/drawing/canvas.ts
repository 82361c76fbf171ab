import { COLOURS, FONTS, type Look } from './looks.ts';

type PlotModule = typeof import('@observablehq/plot');
type PlotOptions = import('@observablehq/plot').PlotOptions;

/** A picture in SVG without a title: a part of a figure. */
export interface Drawing {
  readonly svg: string;
  readonly width: number;
  readonly height: number;
}

/** One line of a legend. */
export interface LegendEntry {
  readonly label: string;
  readonly look: Look;
}

/** On the page; wide enough for two panels, narrow enough for a README. */
export const FIGURE_WIDTH = 860;
export const TEXT_PX = 13;

/** Plot with a document to draw into. Loaded when a report is made, never by a node. */
export class Canvas {
  readonly plot: PlotModule;
  readonly #document: PlotOptions['document'];

  private constructor(plot: PlotModule, document: PlotOptions['document']) {
    this.plot = plot;
    this.#document = document;
  }

  static async create(): Promise<Canvas> {
    const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')]);
    return new Canvas(plot, parseHTML('<html><body></body></html>').document as unknown as PlotOptions['document']);
  }

  /** Draws with the report's fonts and colours. */
  draw(options: PlotOptions & { readonly width: number; readonly height: number }): Drawing {
    const svg = this.plot.plot({ ...options, document: this.#document, style: { fontSize: `${TEXT_PX}px` } });
    // Plot's own style sheet is for pages that hold its output alone.
    svg.querySelector('style')?.remove();
    for (const name of ['class', 'style', 'xmlns', 'xmlns:xlink']) svg.removeAttribute(name);
    svg.setAttribute('font-family', FONTS);
    svg.setAttribute('font-size', String(TEXT_PX));
    svg.setAttribute('fill', COLOURS.ink);
    const text = svg.outerHTML.replaceAll('currentColor', COLOURS.ink);
    return { svg: text, width: options.width, height: options.height };
  }

  /** Line, mark and name of each entry in rows as wide as a figure. */
  legend(entries: readonly LegendEntry[]): Drawing {
    const rowHeight = 22;
    const placed: Array<LegendEntry & { readonly x: number; readonly y: number }> = [];
    let [x, row] = [0, 0];
    for (const entry of entries) {
      const width = 46 + textWidth(entry.label, TEXT_PX) + 26;
      if (x > 0 && x + width > FIGURE_WIDTH) [x, row] = [0, row + 1];
      placed.push({ ...entry, x, y: row * rowHeight + rowHeight / 2 });
      x += width;
    }
    const height = (row + 1) * rowHeight;
    const { plot } = this;
    const marks = placed.flatMap(({ x, y, label, look }) => [
      plot.link([0], { x1: x, x2: x + 36, y1: y, y2: y, ...stroke(look) }),
      plot.dot([0], { x: x + 18, y, ...mark(look) }),
      plot.text([label], { x: x + 44, y, textAnchor: 'start', fill: COLOURS.ink }),
    ]);
    const plain = { axis: null, type: 'linear' } as const;
    return this.draw({
      width: FIGURE_WIDTH,
      height,
      margin: 0,
      x: { ...plain, domain: [0, FIGURE_WIDTH], range: [0, FIGURE_WIDTH] },
      y: { ...plain, domain: [0, height], range: [0, height] },
      marks,
    });
  }
}

/** Options of a line. */
export function stroke(look: Look) {
  return {
    stroke: look.colour,
    strokeWidth: 2,
    ...(look.dash === undefined ? {} : { strokeDasharray: look.dash }),
  };
}

/** Options of a dot. */
export function mark(look: Look) {
  return {
    symbol: look.symbol,
    r: 4.2,
    stroke: look.colour,
    strokeWidth: 1.8,
    fill: look.filled ? look.colour : COLOURS.surface,
  };
}

/** About how wide a text is drawn, in pixels: enough to break lines by. */
export function textWidth(text: string, sizePx: number, bold = false): number {
  const narrow = [...text].filter((letter) => " .,:;'|!-ijltfI()".includes(letter)).length;
  const wide = [...text].filter((letter) => /[A-HJ-Z%mwMW−+]/.test(letter)).length;
  const em = narrow * 0.3 + wide * 0.72 + ([...text].length - narrow - wide) * 0.55;
  return em * sizePx * (bold ? 1.07 : 1);
}

/** Broken into lines that fit: between words, and within a word where it is longer than a line. */
export function wrapText(text: string, widthPx: number, sizePx: number, bold = false): string[] {
  const fits = (line: string) => textWidth(line, sizePx, bold) <= widthPx;
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && fits(`${last} ${word}`)) {
      lines[lines.length - 1] = `${last} ${word}`;
      continue;
    }
    let rest = word;
    while (!fits(rest) && rest.length > 1) {
      const begin = beginning(rest, fits);
      lines.push(begin);
      rest = rest.slice(begin.length);
    }
    lines.push(rest);
  }
  return lines;
}

/** As much of a text as fits, with a mark where it was cut. */
export function shortened(text: string, widthPx: number, sizePx: number): string {
  const fits = (line: string) => textWidth(line, sizePx) <= widthPx;
  return fits(text) ? text : `${beginning(text, (line) => fits(`${line}…`))}…`;
}

/** At least one letter of it, and no more than fits. */
function beginning(text: string, fits: (line: string) => boolean): string {
  let length = text.length;
  while (length > 1 && !fits(text.slice(0, length))) length--;
  return text.slice(0, length);
}

export function escapeMarkup(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

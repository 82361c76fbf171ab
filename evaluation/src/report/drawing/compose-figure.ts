import { type Drawing, escapeMarkup, FIGURE_WIDTH, wrapText } from './canvas.ts';
import { COLOURS, FONTS } from './looks.ts';

export interface FigureParts {
  /** The finding, in one sentence. */
  readonly title: string;
  /** What is shown, and how. */
  readonly subtitle: string;
  readonly legend: Drawing | undefined;
  /** Under headings of their own, in rows of `columns`. */
  readonly panels: readonly { readonly heading: string; readonly result: string; readonly drawing: Drawing }[];
  readonly columns: number;
  /** How many sessions, what the bars are. */
  readonly footnote: string;
  /** What a picture shows, for those who do not see it. */
  readonly alt: string;
}

const MARGIN = 16;
const TITLE_PX = 18;
const SUBTITLE_PX = 13.5;
const FOOTNOTE_PX = 12;
const GAP = 18;

/** Title, legend, panels and footnote as one SVG that stands alone. */
export function composeFigure({ title, subtitle, legend, panels, columns, footnote, alt }: FigureParts): string {
  const parts: string[] = [];
  let y = MARGIN;
  const write = (
    text: string,
    { sizePx, colour, bold = false }: { sizePx: number; colour: string; bold?: boolean },
  ) => {
    for (const line of wrapText(text, FIGURE_WIDTH, sizePx, bold)) {
      y += sizePx * 1.3;
      parts.push(textAt(line, { x: MARGIN, y: y - sizePx * 0.3, sizePx, colour, bold }));
    }
  };
  write(title, { sizePx: TITLE_PX, colour: COLOURS.ink, bold: true });
  y += 3;
  write(subtitle, { sizePx: SUBTITLE_PX, colour: COLOURS.muted });
  y += 10;
  if (legend !== undefined) {
    parts.push(placed(legend, MARGIN, y));
    y += legend.height + 6;
  }
  const columnWidth = (FIGURE_WIDTH + GAP) / columns;
  for (let index = 0; index < panels.length; index += columns) {
    const row = panels.slice(index, index + columns);
    const headings = row.map(({ heading, result }) => [
      ...(heading === '' ? [] : wrapText(heading, columnWidth - GAP, TEXT_HEADING_PX, true)).map((text) => ({
        text,
        bold: true,
      })),
      ...(result === ''
        ? []
        : wrapText(result, columnWidth - GAP, TEXT_HEADING_PX).map((text) => ({ text, bold: false }))),
    ]);
    const lines = Math.max(...headings.map(({ length }) => length));
    for (const [column, heading] of headings.entries()) {
      for (const [line, { text, bold }] of heading.entries()) {
        const at = { x: MARGIN + column * columnWidth, y: y + (line + 1) * 17, sizePx: TEXT_HEADING_PX, bold };
        parts.push(textAt(text, { ...at, colour: COLOURS.ink }));
      }
    }
    if (lines > 0) y += lines * 17 + 8;
    for (const [column, { drawing }] of row.entries()) parts.push(placed(drawing, MARGIN + column * columnWidth, y));
    y += Math.max(...row.map(({ drawing }) => drawing.height)) + 8;
  }
  y += 2;
  write(footnote, { sizePx: FOOTNOTE_PX, colour: COLOURS.muted });
  const [width, height] = [FIGURE_WIDTH + 2 * MARGIN, Math.ceil(y + MARGIN)];
  const label = escapeMarkup(alt);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${label}" font-family="${escapeMarkup(FONTS)}">`,
    `<title>${escapeMarkup(title)}</title><desc>${label}</desc>`,
    `<rect width="${width}" height="${height}" fill="${COLOURS.surface}"/>`,
    ...parts,
    '</svg>',
  ].join('\n');
}

const TEXT_HEADING_PX = 13.5;

function textAt(
  text: string,
  at: {
    readonly x: number;
    readonly y: number;
    readonly sizePx: number;
    readonly colour: string;
    readonly bold: boolean;
  },
): string {
  const weight = at.bold ? ' font-weight="700"' : '';
  return `<text x="${at.x}" y="${at.y.toFixed(1)}" font-size="${at.sizePx}" fill="${at.colour}"${weight}>${escapeMarkup(text)}</text>`;
}

function placed({ svg }: Drawing, x: number, y: number): string {
  return svg.replace('<svg', `<svg x="${x.toFixed(1)}" y="${y.toFixed(1)}" overflow="visible"`);
}

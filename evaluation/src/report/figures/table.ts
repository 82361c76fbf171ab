import { escapeMarkup } from '../drawing/canvas.ts';

/** Which rows a number in a table was computed from; tests compute it from them again. */
export type Datum = Readonly<Record<string, string | number>>;

export interface Cell {
  readonly text: string;
  /** Of a heading: over how many columns. */
  readonly columns?: number;
  /** Over how many rows; those below leave the cell out. */
  readonly rows?: number;
  readonly heading?: 'column' | 'row';
  readonly datum?: Datum;
  /** Said before it where the column's heading is not there: on a narrow screen. */
  readonly label?: string;
}

export interface Table {
  readonly caption: string;
  readonly head: readonly (readonly Cell[])[];
  readonly body: readonly (readonly Cell[])[];
}

export function columnHeading(text: string, columns = 1): Cell {
  return { text, heading: 'column', columns };
}

export function rowHeading(text: string): Cell {
  return { text, heading: 'row' };
}

/** Each row of an empty body would be an accident: an empty table is nothing. */
export function tableMarkup({ caption, head, body }: Table): string {
  if (body.length === 0) return '';
  const rows = (cells: readonly (readonly Cell[])[]) =>
    cells.map((row) => `<tr>${row.map(cellMarkup).join('')}</tr>`).join('\n');
  return [
    '<div class="table"><table>',
    `<caption>${escapeMarkup(caption)}</caption>`,
    `<thead>${rows(head)}</thead>`,
    `<tbody>${rows(body)}</tbody>`,
    '</table></div>',
  ].join('\n');
}

function cellMarkup({ text, heading, columns = 1, rows = 1, datum = {}, label }: Cell): string {
  const span = `${columns > 1 ? ` colspan="${columns}"` : ''}${rows > 1 ? ` rowspan="${rows}"` : ''}`;
  const data = Object.entries({ ...datum, ...(label !== undefined && { label }) })
    .map(([name, value]) => ` data-${name}="${escapeMarkup(String(value))}"`)
    .join('');
  if (heading === undefined) return `<td${span}${data}>${escapeMarkup(text)}</td>`;
  const scope = heading === 'row' ? (rows > 1 ? 'rowgroup' : 'row') : columns > 1 ? 'colgroup' : 'col';
  return `<th scope="${scope}"${span}>${escapeMarkup(text)}</th>`;
}

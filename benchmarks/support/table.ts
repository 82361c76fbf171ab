/** Rows as a Markdown table of the named columns. */
export function table<Row extends object>(rows: readonly Row[], columns: readonly (keyof Row & string)[]): string {
  const cells = rows.map((row) => columns.map((column) => String(row[column] ?? '')));
  const widths = columns.map((column, i) =>
    Math.max(column.length, ...cells.map((line) => (line[i] as string).length)),
  );
  const line = (values: readonly string[]) =>
    `| ${values.map((value, i) => value.padStart(widths[i] as number)).join(' | ')} |`;
  return [line(columns), `|${widths.map((width) => `${'-'.repeat(width + 1)}:`).join('|')}|`, ...cells.map(line)].join(
    '\n',
  );
}

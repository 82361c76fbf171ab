import { styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

/** Styled where the stream is a terminal that shows it (and NO_COLOR is not set), plain elsewhere. */
export function styled(format: Format, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(format, text, { stream });
}

/**
 * Text from elsewhere made safe to print: control characters other than line feed and tab, with which a reply could
 * move the cursor, change the window's title or worse, become visible marks.
 */
export function printable(text: string): string {
  return text.replaceAll(/\r\n?/g, '\n').replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

/** Columns as wide as their widest cell, two spaces between; numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => String(row[column]).length)));
  const line = (row: readonly (string | number)[]) =>
    row
      .map((cell, column) => {
        const width = widths[column] as number;
        return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [styled('bold', line(header)), ...rows.map(line)].join('\n');
}

/** "812 B", "1.2 kB", "34 MB". */
export function approximateBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "2026-11-21 07:35:12" in this machine's time zone. */
export function localTime(date: Date): string {
  return Number.isNaN(date.getTime()) ? '-' : date.toLocaleString('sv-SE');
}

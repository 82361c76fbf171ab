const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/**
 * The part of Python's `strftime` that chat templates use, in English and in UTC, so that all nodes print one date.
 * `%-d` and the like leave the padding out; a directive that is not known stays as it is written.
 */
export function strftime(timeMs: number, format: string): string {
  const date = new Date(timeMs);
  const month = MONTHS[date.getUTCMonth()] as string;
  const day = DAYS[date.getUTCDay()] as string;
  const hours = date.getUTCHours();
  const numbers: Record<string, [value: number, width: number]> = {
    Y: [date.getUTCFullYear(), 4],
    y: [date.getUTCFullYear() % 100, 2],
    m: [date.getUTCMonth() + 1, 2],
    d: [date.getUTCDate(), 2],
    H: [hours, 2],
    I: [hours % 12 || 12, 2],
    M: [date.getUTCMinutes(), 2],
    S: [date.getUTCSeconds(), 2],
  };
  const words: Record<string, string> = {
    B: month,
    b: month.slice(0, 3),
    A: day,
    a: day.slice(0, 3),
    p: hours < 12 ? 'AM' : 'PM',
    Z: 'UTC',
    '%': '%',
  };
  return format.replace(/%(-?)([A-Za-z%])/g, (written, dash: string, letter: string) => {
    const number = numbers[letter];
    if (number !== undefined) return String(number[0]).padStart(dash === '' ? number[1] : 1, '0');
    return words[letter] ?? written;
  });
}

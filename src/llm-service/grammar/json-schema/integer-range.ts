/** The longest integers that are written; llama.cpp's own grammars have as many digits. */
const DIGITS_MAX = 16;
const MAGNITUDE_MAX = 10n ** BigInt(DIGITS_MAX) - 1n;

/** GBNF for the integers from `minimum` to `maximum`, both included; `undefined` where there are none. */
export function integerRange(minimum: number | undefined, maximum: number | undefined): string | undefined {
  const from = bounded(minimum ?? -Infinity);
  const to = bounded(maximum ?? Infinity);
  if (from > to) return undefined;
  const ways: string[] = [];
  if (from < 0n) {
    const [least, most] = [to < 0n ? -to : 1n, -from];
    ways.push(`"-" (${magnitudes(least, most).join(' | ')})`);
  }
  if (to >= 0n) ways.push(...magnitudes(from > 0n ? from : 0n, to));
  return `(${ways.join(' | ')})`;
}

function bounded(value: number): bigint {
  if (value >= Number(MAGNITUDE_MAX)) return MAGNITUDE_MAX;
  return value <= -Number(MAGNITUDE_MAX) ? -MAGNITUDE_MAX : BigInt(value);
}

/** Alternatives for the numbers from `from` (at least 0) to `to`, without leading zeros. */
function magnitudes(from: bigint, to: bigint): string[] {
  const ways: string[] = [];
  /** Lengths of which every number is meant, as one alternative. */
  let whole: { least: number; most: number } | undefined;
  for (let digits = String(from).length; digits <= String(to).length; digits++) {
    const [first, last] = [digits === 1 ? 0n : 10n ** BigInt(digits - 1), 10n ** BigInt(digits) - 1n];
    const [least, most] = [from > first ? from : first, to < last ? to : last];
    if (digits > 1 && least === first && most === last) whole = { least: whole?.least ?? digits, most: digits };
    else ways.push(sameLength(String(least), String(most)));
  }
  if (whole !== undefined) ways.push(`[1-9] ${digitsBetween(whole.least - 1, whole.most - 1)}`);
  return ways;
}

/** Numbers between two of one length. */
function sameLength(from: string, to: string): string {
  const [a, b] = [Number(from[0]), Number(to[0])];
  const rest = from.length - 1;
  if (rest === 0) return oneOf(a, b);
  if (a === b) return `"${a}" ${sameLength(from.slice(1), to.slice(1))}`;
  const [zeros, nines] = ['0'.repeat(rest), '9'.repeat(rest)];
  const startsWhole = from.slice(1) === zeros;
  const endsWhole = to.slice(1) === nines;
  const ways: string[] = [];
  if (!startsWhole) ways.push(`"${a}" ${sameLength(from.slice(1), nines)}`);
  const [least, most] = [startsWhole ? a : a + 1, endsWhole ? b : b - 1];
  if (least <= most) ways.push(`${oneOf(least, most)} ${digitsBetween(rest, rest)}`);
  if (!endsWhole) ways.push(`"${b}" ${sameLength(zeros, to.slice(1))}`);
  return ways.length === 1 ? (ways[0] as string) : `(${ways.join(' | ')})`;
}

function oneOf(a: number, b: number): string {
  return a === b ? `"${a}"` : `[${a}-${b}]`;
}

function digitsBetween(least: number, most: number): string {
  return least === most ? `[0-9]{${least}}` : `[0-9]{${least},${most}}`;
}

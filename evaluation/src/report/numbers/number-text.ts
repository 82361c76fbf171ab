import type { Estimate } from './statistics.ts';

const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const ONE_DECIMAL = new Intl.NumberFormat('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const TWO_DECIMALS = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** "40,340". */
export function wholeNumber(value: number): string {
  return withMinus(WHOLE.format(value));
}

/** "7.4". */
export function oneDecimal(value: number): string {
  return withMinus(ONE_DECIMAL.format(value));
}

/** A share as a change: "−14.46 %" with two places, "+3.1 %" with one. */
export function changeText(share: number, places: 1 | 2 = 1): string {
  const text = (places === 1 ? ONE_DECIMAL : TWO_DECIMALS).format(share * 100);
  const isZero = /^-?0[.0]*$/.test(text);
  return `${isZero ? '±' : share > 0 ? '+' : ''}${withMinus(isZero ? text.replace('-', '') : text)} %`;
}

/** "−3.1 % (−5.0 to −1.2)"; from one session the change alone. */
export function changeWithInterval({ value, low, high, sessions }: Estimate): string {
  if (sessions < 2) return `${changeText(value)} (one session)`;
  return `${changeText(value)} (${changeText(low)} to ${changeText(high)})`.replaceAll(/ %(?= to|\))/g, '');
}

/** "812 (790 to 840)". */
export function valueWithInterval({ value, low, high, sessions }: Estimate, text: (value: number) => string): string {
  return sessions < 2 ? text(value) : `${text(value)} (${text(low)} to ${text(high)})`;
}

/** The true minus sign is as wide as a plus. */
function withMinus(text: string): string {
  return text.replace('-', '−');
}

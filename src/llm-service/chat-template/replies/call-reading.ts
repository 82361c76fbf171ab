import type { CallMarks } from './call-marks.ts';
import { JsonEnds } from './json-ends.ts';

/** What of a call has been read. Places are in the text that begins with the call's opener. */
export type CallReading =
  | { readonly state: 'open' }
  /** No call after all. */
  | { readonly state: 'fault' }
  /** Its name is known, and its arguments up to where they are complete. */
  | { readonly state: 'arguments'; readonly name: string; readonly arguments: string }
  | { readonly state: 'done'; readonly calls: readonly ReadCall[]; readonly end: number };

export interface ReadCall {
  readonly name: string;
  readonly arguments: string;
}

/** Longer ones are text: a bound on what is held back. */
const NAME_LENGTH_MAX = 128;
/** Between a name and what its arguments follow: a word or two. */
const BEFORE_ARGUMENTS_MAX = 256;
/** Before and behind what a call is made of: some line breaks and an indent. */
const SPACE_MAX = 256;

/**
 * Reads what is there of a call, or of several in one list. `isWhole`: nothing more will come. `isTool`: whether there is a
 * tool of this name. `ends`: those of this call, for the next time that it is read.
 */
export function readCall(
  text: string,
  marks: CallMarks,
  { isWhole, isTool, ends }: { isWhole: boolean; isTool: (name: string) => boolean; ends: JsonEnds },
): CallReading {
  const reading =
    marks.form === 'object'
      ? readObject(text, marks, { isTool, ends })
      : marks.form === 'named'
        ? readNamed(text, marks, ends)
        : readPairs(text, marks, isWhole);
  if (reading.state === 'open') return isWhole ? { state: 'fault' } : reading;
  if (reading.state === 'arguments') return isTool(reading.name) ? reading : { state: 'fault' };
  if (reading.state === 'fault' || !reading.calls.every(({ name }) => isTool(name))) return { state: 'fault' };
  const end = behindCloser(text, reading.end, marks.closer, isWhole);
  return end === undefined ? lastOf(reading.calls) : { ...reading, end };
}

function lastOf(calls: readonly ReadCall[]): CallReading {
  const [only] = calls;
  return calls.length === 1 && only !== undefined ? { state: 'arguments', ...only } : { state: 'open' };
}

function readObject(
  text: string,
  { opener, nameKey, argumentsKey }: Extract<CallMarks, { form: 'object' }>,
  { isTool, ends }: { isTool: (name: string) => boolean; ends: JsonEnds },
): CallReading {
  const start = skipSpace(text, opener.length);
  if (start === text.length) return { state: 'open' };
  if (text[start] !== '{' && text[start] !== '[') return { state: 'fault' };
  const end = ends.find(text, start);
  if (end === undefined) {
    if (text[start] === '[') return { state: 'open' };
    const begun = new RegExp(
      `^\\{[^{}]*?"${nameKey}"\\s*:\\s*"([^"\\\\]{1,${NAME_LENGTH_MAX}})"\\s*,\\s*"${argumentsKey}"\\s*:\\s*(?=\\{)`,
    ).exec(text.slice(start));
    const name = begun?.[1];
    if (begun === null || name === undefined || !isTool(name)) return { state: 'open' };
    const from = start + begun[0].length;
    return { state: 'arguments', name, arguments: text.slice(from, ends.find(text, from) ?? text.length) };
  }
  const value = parsed(text.slice(start, end));
  const list = Array.isArray(value) ? value : [value];
  const calls = list.map((each) => callOf(each, nameKey, argumentsKey));
  if (calls.length === 0 || calls.some((call) => call === undefined)) return { state: 'fault' };
  const only = calls.length === 1 ? argumentsAsWritten(text.slice(start, end), argumentsKey) : undefined;
  const whole = calls as readonly ReadCall[];
  return { state: 'done', calls: only === undefined ? whole : [{ ...(whole[0] as ReadCall), arguments: only }], end };
}

/** Their text, where the arguments are the only field of the name, and an object. */
function argumentsAsWritten(text: string, key: string): string | undefined {
  const at = new RegExp(`"${key}"\\s*:\\s*(?=\\{)`).exec(text);
  if (at === null) return undefined;
  const from = at.index + at[0].length;
  return text.slice(from, new JsonEnds().find(text, from));
}

function callOf(value: unknown, nameKey: string, argumentsKey: string): ReadCall | undefined {
  const { [nameKey]: name, [argumentsKey]: given = {} } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || typeof given !== 'object' || given === null) return undefined;
  return { name, arguments: JSON.stringify(given) };
}

function readNamed(text: string, marks: Extract<CallMarks, { form: 'named' }>, ends: JsonEnds): CallReading {
  const { opener, beforeArguments } = marks;
  const start = skipSpace(text, opener.length);
  const rest = text.slice(start);
  const name = /^[\w.:-]*/.exec(rest)?.[0] ?? '';
  if (name.length > NAME_LENGTH_MAX || (name === '' && rest !== '')) return { state: 'fault' };
  if (name.length === rest.length) return { state: 'open' };
  const tagAt = beforeArguments === '' ? start + name.length : text.indexOf(beforeArguments, start + name.length);
  const apart = (tagAt < 0 ? text.length : tagAt) - start - name.length;
  if (apart > BEFORE_ARGUMENTS_MAX) return { state: 'fault' };
  if (tagAt < 0) return { state: 'open' };
  const from = skipSpace(text, tagAt + beforeArguments.length);
  if (from === text.length) return { state: 'open' };
  if (text[from] !== '{') return { state: 'fault' };
  const end = ends.find(text, from);
  const given = text.slice(from, end);
  return end === undefined
    ? { state: 'arguments', name, arguments: given }
    : { state: 'done', calls: [{ name, arguments: given }], end };
}

function readPairs(text: string, marks: Extract<CallMarks, { form: 'pairs' }>, isWhole: boolean): CallReading {
  const { opener, separator, closer } = marks;
  const end = text.indexOf(closer, opener.length);
  if (end < 0 && !isWhole) return { state: 'open' };
  const body = text.slice(opener.length, end < 0 ? text.length : end);
  const calls = (separator === undefined ? [body] : body.split(separator)).map((call) => callOfPairs(call, marks));
  if (calls.some((call) => call === undefined)) return { state: 'fault' };
  return { state: 'done', calls: calls as readonly ReadCall[], end: end < 0 ? text.length : end };
}

function callOfPairs(text: string, marks: Extract<CallMarks, { form: 'pairs' }>): ReadCall | undefined {
  const [beforeName, beforeValue, afterValue] = [marks.beforeName, marks.beforeValue, marks.afterValue].map((mark) =>
    mark.trim(),
  ) as [string, string, string];
  const name = /^\s*([\w.:-]+)/.exec(text)?.[1];
  if (name === undefined) return undefined;
  const given: Record<string, unknown> = {};
  for (let at = text.indexOf(beforeName); at >= 0; ) {
    const middle = text.indexOf(beforeValue, at + beforeName.length);
    const until = middle < 0 ? -1 : text.indexOf(afterValue, middle + beforeValue.length);
    if (until < 0) return undefined;
    const value = text.slice(middle + beforeValue.length, until).replace(/^\n|\n$/g, '');
    const key = text.slice(at + beforeName.length, middle).trim();
    Object.defineProperty(given, key, { value, enumerable: true, configurable: true });
    at = text.indexOf(beforeName, until + afterValue.length);
  }
  return { name, arguments: JSON.stringify(given) };
}

/** Behind the closer, where it is there; `undefined` while it may still come. */
function behindCloser(text: string, from: number, closer: string, isWhole: boolean): number | undefined {
  const at = skipSpace(text, from);
  const rest = text.slice(at, at + closer.length);
  if (closer === '') return from;
  if (rest === closer) return at + closer.length;
  if (!closer.startsWith(rest)) return from;
  return isWhole ? text.length : undefined;
}

/** Behind white space, of which there is little in a call. */
function skipSpace(text: string, from: number): number {
  const end = Math.min(text.length, from + SPACE_MAX);
  let at = from;
  while (at < end && /\s/.test(text[at] as string)) at++;
  return at;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

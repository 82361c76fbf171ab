import type { CallMarks } from './call-marks.ts';
import { type CallReading, readCall } from './call-reading.ts';
import { JsonEnds } from './json-ends.ts';

/** How replies under a template are taken apart. */
export interface ReplySyntax {
  /** The texts around reasoning. */
  readonly thinking: { readonly start: string; readonly end: string } | undefined;
  /** The first and last tag of what stands before an answer, where there are such. */
  readonly answer: { readonly first: string; readonly last: string } | undefined;
  readonly calls: CallMarks | undefined;
}

/** A stretch of a reply. Of calls it has place and length in what was read, from opener to closer. */
export type ParsedDelta =
  | { readonly index: number; readonly type: 'text' | 'thinking'; readonly text: string }
  | { readonly index: number; readonly type: 'tool-call'; readonly name: string; readonly arguments: string };

export interface CallRange {
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

/** A model that is led to write what is no call may do so all along its reply, and each is looked for to the end. */
const FAULTS_MAX = 64;

/** White space before a call or a mark, which is no part of a text. */
const SPACE_HELD_MAX = 256;

type State = 'start' | 'thinking' | 'text' | 'call';

/**
 * Takes a reply apart while it is being written: thinking, text and calls, in order. White space around thinking and calls is no
 * part of any of them; what looks like a call and is none stays text. What comes of a reply does not depend on how it is cut
 * into pieces.
 */
export class ReplyParser {
  readonly #syntax: ReplySyntax;
  readonly #isTool: ((name: string) => boolean) | undefined;
  #state: State;
  #rest = '';
  /** Where in all that was read {@link #rest} begins. */
  #at = 0;
  #index = -1;
  #type: ParsedDelta['type'] | undefined;
  /** The calls of the list under way. */
  #calls: number[] = [];
  /** How much of the arguments of the call under way has been told. */
  #told = 0;
  /** In the call under way. */
  #ends = new JsonEnds();
  /** What looked like calls and was none. */
  #faults = 0;
  #hasThought: boolean;
  /** White space at the beginning of what comes is left out. */
  #trims: boolean;
  readonly ranges: CallRange[] = [];

  /** `isTool`: whether there is a tool of this name; `undefined`: there are none. `isThinking`: the prompt has begun with it. */
  constructor(
    syntax: ReplySyntax,
    options: { readonly isTool: ((name: string) => boolean) | undefined; readonly isThinking: boolean },
  ) {
    this.#syntax = syntax;
    this.#isTool = syntax.calls === undefined ? undefined : options.isTool;
    this.#state = options.isThinking ? 'thinking' : 'start';
    this.#hasThought = options.isThinking;
    // Without reasoning and tools a reply is its text.
    this.#trims = syntax.thinking !== undefined || this.#isTool !== undefined;
  }

  push(text: string): ParsedDelta[] {
    this.#rest += text;
    return this.#read(false);
  }

  /** What was held back, when nothing more will come. */
  end(): ParsedDelta[] {
    return this.#read(true);
  }

  #read(isWhole: boolean): ParsedDelta[] {
    const deltas: ParsedDelta[] = [];
    while (this.#step(deltas, isWhole));
    return deltas;
  }

  /** False where more has to come first. */
  #step(deltas: ParsedDelta[], isWhole: boolean): boolean {
    switch (this.#state) {
      case 'start':
        return this.#start(isWhole);
      case 'thinking':
        return this.#thinking(deltas, isWhole);
      case 'text':
        return this.#text(deltas, isWhole);
      case 'call':
        return this.#call(deltas, isWhole);
      default:
        return this.#state satisfies never;
    }
  }

  /** What may stand before an answer. */
  #start(isWhole: boolean): boolean {
    const { thinking, answer } = this.#syntax;
    if (this.#trims) this.#drop(this.#rest.length - this.#rest.trimStart().length);
    const lead = this.#rest.length - this.#rest.trimStart().length;
    const rest = this.#rest.slice(lead);
    if (!isWhole && rest === '') return false;
    if (thinking !== undefined && thinking.start !== '' && !this.#hasThought) {
      if (rest.startsWith(thinking.start)) {
        this.#drop(lead + thinking.start.length);
        this.#hasThought = true;
        this.#go('thinking');
        return true;
      }
      if (!isWhole && thinking.start.startsWith(rest)) return false;
    }
    if (answer !== undefined) {
      if (rest.startsWith(answer.first)) {
        const opener = this.#openerAt(rest);
        const last = rest.indexOf(answer.last);
        if (opener >= 0 && (last < 0 || opener < last)) this.#drop(lead + opener);
        else if (last >= 0) this.#drop(lead + last + answer.last.length);
        else if (!isWhole) return false;
      } else if (!isWhole && answer.first.startsWith(rest)) return false;
    }
    this.#go('text');
    return true;
  }

  #thinking(deltas: ParsedDelta[], isWhole: boolean): boolean {
    const { end } = this.#syntax.thinking as { readonly end: string };
    const at = this.#rest.indexOf(end);
    if (at < 0) {
      this.#tell(deltas, 'thinking', isWhole ? trimmedEnd(this.#rest) : this.#certain(end));
      return false;
    }
    this.#tell(deltas, 'thinking', trimmedEnd(this.#rest.slice(0, at)));
    this.#drop(this.#rest.indexOf(end) + end.length);
    this.#go('start');
    return true;
  }

  #text(deltas: ParsedDelta[], isWhole: boolean): boolean {
    const { calls } = this.#syntax;
    if (this.#isTool === undefined || calls === undefined) {
      this.#tell(deltas, 'text', this.#rest);
      return false;
    }
    const at = this.#openerAt(this.#rest);
    if (at < 0) {
      const certain = calls.opener === '' ? trimmedEnd(this.#rest) : this.#certain(calls.opener);
      this.#tell(deltas, 'text', isWhole ? this.#rest : certain);
      return false;
    }
    this.#tell(deltas, 'text', trimmedEnd(this.#rest.slice(0, at)));
    this.#told = 0;
    this.#ends = new JsonEnds();
    this.#state = 'call';
    return true;
  }

  #call(deltas: ParsedDelta[], isWhole: boolean): boolean {
    const marks = this.#syntax.calls as CallMarks;
    const isTool = this.#isTool as (name: string) => boolean;
    // White space before a call is text's where it turns out to be none.
    const lead = this.#rest.length - this.#rest.trimStart().length;
    const reading: CallReading = readCall(this.#rest.slice(lead), marks, { isWhole, isTool, ends: this.#ends });
    if (reading.state === 'open') return false;
    if (reading.state === 'arguments') {
      this.#tellCall(deltas, reading);
      if (isWhole) this.#endCalls(lead, this.#rest.length);
      return isWhole;
    }
    if (reading.state === 'fault') {
      this.#faults++;
      if (this.#told > 0) this.#endCalls(lead, this.#rest.length);
      else this.#tell(deltas, 'text', this.#rest.slice(0, lead + Math.max(1, marks.opener.length)));
      this.#state = 'text';
      return true;
    }
    for (const call of reading.calls) {
      this.#tellCall(deltas, call);
      this.#calls.push(this.#index);
      this.#told = 0;
    }
    this.#endCalls(lead, lead + reading.end);
    return true;
  }

  #tellCall(deltas: ParsedDelta[], { name, arguments: given }: { name: string; arguments: string }): void {
    if (this.#told === 0) {
      this.#index++;
      this.#type = 'tool-call';
    }
    // The first delta tells the name, whether or not there are arguments yet.
    const from = Math.max(0, this.#told - 1);
    const added = given.slice(from);
    if (this.#told === 0 || added !== '') {
      deltas.push({ index: this.#index, type: 'tool-call', name, arguments: added });
    }
    this.#told = given.length + 1;
  }

  #endCalls(from: number, to: number): void {
    if (this.#told > 0) this.#calls.push(this.#index);
    for (const index of this.#calls) this.ranges.push({ index, start: this.#at + from, end: this.#at + to });
    this.#calls = [];
    this.#drop(to);
    this.#told = 0;
    this.#go('text');
  }

  #tell(deltas: ParsedDelta[], type: 'text' | 'thinking', certain: string): void {
    let text = certain;
    if (this.#trims) {
      const trimmed = text.trimStart();
      this.#drop(text.length - trimmed.length);
      text = trimmed;
    }
    if (text === '') return;
    this.#trims = false;
    this.#drop(text.length);
    if (this.#type !== type) {
      this.#index++;
      this.#type = type;
    }
    deltas.push({ index: this.#index, type, text });
  }

  /** Without what may be the beginning of `mark`, and white space before it. */
  #certain(mark: string): string {
    for (let length = Math.min(mark.length - 1, this.#rest.length); length > 0; length--) {
      if (this.#rest.endsWith(mark.slice(0, length))) return trimmedEnd(this.#rest.slice(0, -length));
    }
    return trimmedEnd(this.#rest);
  }

  #openerAt(text: string): number {
    const { calls } = this.#syntax;
    if (calls === undefined || this.#isTool === undefined || this.#faults > FAULTS_MAX) return -1;
    if (calls.opener !== '') return text.indexOf(calls.opener);
    // A call that is nothing but JSON is all of an answer, or follows one that is.
    const lead = text.length - text.trimStart().length;
    return this.#type !== 'text' && text[lead] === '{' ? lead : -1;
  }

  #go(state: State): void {
    this.#state = state;
    this.#trims = this.#syntax.thinking !== undefined || this.#isTool !== undefined;
  }

  #drop(length: number): void {
    this.#rest = this.#rest.slice(length);
    this.#at += length;
  }
}

/** Without white space at its end, of which what is further away is text's: it would have to be held back for ever. */
function trimmedEnd(text: string): string {
  const least = Math.max(0, text.length - SPACE_HELD_MAX);
  let end = text.length;
  while (end > least && /\s/.test(text[end - 1] as string)) end--;
  return text.slice(0, end);
}

import { TemplateRefusal, type TemplateRenderer } from '../template-renderer.ts';

/** How a template writes the calls of a reply; found by rendering calls of marks. */
export interface CallSyntax {
  /** Before the name of the first call. */
  readonly head: string;
  /** Between a name and its arguments. */
  readonly middle: string;
  readonly arguments: ArgumentsSyntax;
  /** Behind the arguments of the last call. */
  readonly tail: string;
  /** Between the arguments of a call and the name of the next; `undefined`: a reply has one call at most. */
  readonly join: string | undefined;
  /** Between a text and the name of the first call after it; `undefined`: no text stands with a call. */
  readonly afterText: string | undefined;
}

/** One JSON object, or names and values between texts of the template's. */
export type ArgumentsSyntax =
  | { readonly form: 'json' }
  | {
      readonly form: 'pairs';
      readonly beforeName: string;
      readonly beforeValue: string;
      readonly afterValue: string;
    };

/** A call as a template is given it: the real name, and one argument of a mark. */
export interface MarkedCall {
  readonly name: string;
  readonly mark: string;
}

/** The argument of a {@link MarkedCall}. Nothing like it is in a template. */
const ARGUMENT = 'argument_q';
const SECOND_ARGUMENT = 'argument_z';
const TOOL = 'tool_q';

/** Ids of calls as templates see them: of nine letters and digits, as some demand, and equal at every node. */
export function callIdIn(place: number): string {
  return `call${String(place).padStart(5, '0')}`;
}

/** An assistant message's `tool_calls`. */
export function toolCalls(calls: readonly MarkedCall[]): readonly object[] {
  return calls.map(({ name, mark }, place) => callOf(name, place, { [ARGUMENT]: mark }));
}

function callOf(name: string, place: number, given: Readonly<Record<string, string>>): object {
  return { id: callIdIn(place), type: 'function', function: { name, arguments: given } };
}

/** `undefined`: the template writes no calls, or not in a way that can be read again. */
export function callSyntax(renderer: TemplateRenderer): CallSyntax | undefined {
  try {
    return new CallProbe(renderer).syntax();
  } catch (error) {
    if (error instanceof TemplateRefusal) return undefined;
    throw error;
  }
}

class CallProbe {
  readonly #renderer: TemplateRenderer;
  readonly #closing: string;
  readonly #starts: readonly string[];

  constructor(renderer: TemplateRenderer) {
    this.#renderer = renderer;
    const plain = this.#reply({ content: renderer.mark('a') });
    this.#closing = plain.at(-1) as string;
    const asked = this.#split([{ role: 'user', content: renderer.mark('u') }], true);
    this.#starts = [plain[0] as string, asked.at(-1) as string];
  }

  syntax(): CallSyntax {
    const one = this.#reply({ content: '', tool_calls: toolCalls([{ name: TOOL, mark: this.#renderer.mark('v') }]) });
    if (one.length !== 2) throw new TemplateRefusal('leaves out the arguments of calls');
    const [before, after] = one as [string, string];
    const call = before.slice(this.#startOf(before).length);
    const nameAt = call.indexOf(TOOL);
    if (nameAt < 0) throw new TemplateRefusal('leaves out the names of calls');
    const head = call.slice(0, nameAt);
    const toValue = call.slice(nameAt + TOOL.length);
    const fromValue = this.#withoutClosing(after);
    const argument = /\{\s*"argument_q"\s*:\s*"$/.exec(toValue);
    const syntax =
      argument === null
        ? this.#pairs(toValue, fromValue)
        : { middle: toValue.slice(0, argument.index), ...this.#json(fromValue) };
    return { head, ...syntax, join: this.#join(syntax), afterText: this.#afterText(head) };
  }

  #json(fromValue: string) {
    const end = /^"\s*\}/.exec(fromValue);
    if (end === null) throw new TemplateRefusal('writes the arguments of calls in no form that is known');
    return { arguments: { form: 'json' as const }, tail: fromValue.slice(end[0].length) };
  }

  #pairs(toValue: string, fromValue: string) {
    const mark = (name: string) => this.#renderer.mark(name);
    const two = this.#reply({
      content: '',
      tool_calls: [callOf(TOOL, 0, { [ARGUMENT]: mark('v'), [SECOND_ARGUMENT]: mark('w') })],
    });
    const [, between] = two;
    const nameAt = toValue.lastIndexOf(ARGUMENT);
    const secondAt = between?.indexOf(SECOND_ARGUMENT) ?? -1;
    if (two.length !== 3 || between === undefined || nameAt < 0 || secondAt < 0) {
      throw new TemplateRefusal('writes the arguments of calls in no form that is known');
    }
    const seam = between.slice(0, secondAt);
    const afterValue = wholeTags(commonStart(seam, fromValue));
    const beforeName = seam.slice(afterValue.length);
    const lead = toValue.slice(0, nameAt);
    if (!lead.endsWith(beforeName)) throw new TemplateRefusal('writes each argument of a call otherwise');
    return {
      middle: lead.slice(0, lead.length - beforeName.length),
      arguments: {
        form: 'pairs' as const,
        beforeName,
        beforeValue: toValue.slice(nameAt + ARGUMENT.length),
        afterValue,
      },
      tail: fromValue.slice(afterValue.length),
    };
  }

  #join({ middle, arguments: given }: Pick<CallSyntax, 'middle' | 'arguments'>): string | undefined {
    const mark = (name: string) => this.#renderer.mark(name);
    try {
      const calls = toolCalls([
        { name: TOOL, mark: mark('v') },
        { name: TOOL, mark: mark('w') },
      ]);
      const [, between] = this.#reply({ content: '', tool_calls: calls });
      const nameAt = between?.lastIndexOf(TOOL + middle) ?? -1;
      if (between === undefined || nameAt < 0) return undefined;
      const end = given.form === 'json' ? (/^"\s*\}/.exec(between)?.[0] ?? '') : given.afterValue;
      return between.slice(end.length, nameAt);
    } catch (error) {
      if (error instanceof TemplateRefusal) return undefined;
      throw error;
    }
  }

  #afterText(head: string): string | undefined {
    const mark = (name: string) => this.#renderer.mark(name);
    const calls = toolCalls([{ name: TOOL, mark: mark('v') }]);
    const [, between] = this.#reply({ content: mark('a'), tool_calls: calls }, ['a', 'v']);
    const at = between?.indexOf(TOOL) ?? -1;
    if (between === undefined || at < 0) return undefined;
    return between.slice(0, at).trimStart().startsWith(head.trim()) ? between.slice(0, at) : undefined;
  }

  /** What a template has before a reply of any kind, so that what is behind it is the model's to write. */
  #startOf(before: string): string {
    return this.#starts.find((start) => before.startsWith(start)) ?? commonStart(before, this.#starts[0] as string);
  }

  #withoutClosing(after: string): string {
    if (this.#closing !== '' && after.endsWith(this.#closing)) return after.slice(0, -this.#closing.length);
    // A call may be ended by a token of its own.
    return this.#closing === '' ? after : after.replace(/(?:<[^<>]*>|\[[^[\]]*\])\s*$/, '');
  }

  /** The literals behind the question of a reply that stands last; none where other marks are shown than `marks`. */
  #reply(message: object, marks?: readonly string[]): readonly string[] {
    const literals = this.#split(
      [
        { role: 'user', content: this.#renderer.mark('u') },
        { role: 'assistant', ...message },
      ],
      false,
      marks,
    );
    return literals;
  }

  #split(messages: readonly object[], generationPrompt: boolean, expected?: readonly string[]): readonly string[] {
    const { literals, marks } = this.#renderer.splitAtMarks(this.#renderer.render(messages, { generationPrompt }));
    const at = marks.indexOf('u');
    if (expected !== undefined && marks.slice(at + 1).join() !== expected.join()) return [];
    return literals.slice(at + 1);
  }
}

function commonStart(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return a.slice(0, length);
}

/** Without half a tag at the end. */
function wholeTags(text: string): string {
  const open = text.lastIndexOf('<');
  return open > text.lastIndexOf('>') ? text.slice(0, open) : text;
}

/**
 * Puts one mark in the place of a reply's calls, so that what the model wrote can stand there as it is: from the beginning of
 * the first to the end of the last. `said`: the mark of a text before them, which it takes in.
 */
export function markCalls(
  text: string,
  calls: readonly MarkedCall[],
  { syntax, mark, said }: { readonly syntax: CallSyntax; readonly mark: string; readonly said?: string },
): string {
  const [first, last] = [calls[0] as MarkedCall, calls.at(-1) as MarkedCall];
  const start = beforeArgument(syntax, first.name);
  const end = behindArgument(syntax, calls.length - 1);
  const [at, until] = [text.indexOf(first.mark), text.lastIndexOf(last.mark)];
  const [before, after] = [text.slice(0, Math.max(0, at)), text.slice(until + last.mark.length)];
  if (at < 0 || until < 0) throw new TemplateRefusal('leaves out calls');
  const begins = said !== undefined && before.includes(said) ? start.trimStart() : start;
  if (!before.endsWith(begins) || !after.startsWith(end)) throw new TemplateRefusal('writes calls in several ways');
  // White space before a call is the template's, as what is before it may be left out.
  const saidAt = said === undefined ? -1 : before.indexOf(said);
  const from = saidAt < 0 ? before.length - start.trimStart().length : saidAt;
  return before.slice(0, from) + mark + after.slice(end.length);
}

function beforeArgument({ head, middle, arguments: given }: CallSyntax, name: string): string {
  const opening = given.form === 'json' ? `{"${ARGUMENT}": "` : given.beforeName + ARGUMENT + given.beforeValue;
  return head + name + middle + opening;
}

function behindArgument({ tail, arguments: given }: CallSyntax, place: number): string {
  return (given.form === 'json' ? '"}' : given.afterValue) + tail.replace(callIdIn(0), callIdIn(place));
}

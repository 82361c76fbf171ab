import type { Role } from '../../domain/record/turn-record.ts';
import { JinjaError, JinjaTemplate } from '../jinja/template.ts';
import { strftime } from './strftime.ts';

/** What a rendered conversation looks like with its contents taken out: literal, content, literal, … , literal. */
export interface Skeleton {
  /** One more than there are slots. */
  readonly literals: readonly string[];
  /** In the order of the messages: slot i is the place of message i. */
  readonly slots: readonly Slot[];
  /** The rendered text with a {@link TemplateRenderer.mark} at each slot. */
  readonly text: string;
  /** The dates that the template printed: format and text. The skeleton holds as long as they do. */
  readonly dates: ReadonlyMap<string, string>;
}

/** The place of one message's content. */
export interface Slot {
  readonly role: Role;
  /** Whether the template removes the content's white space at this end. */
  readonly trimsStart: boolean;
  readonly trimsEnd: boolean;
}

/** The template refuses a conversation, or cannot carry it unchanged. The message is a clause about the template. */
export class TemplateRefusal extends Error {}

const PADDING = { start: ' \n', end: '\n ' };

/**
 * A chat template's Jinja source, parsed once. Message contents never go through Jinja: it sees marks in their place,
 * so that no content can act as template text. There is no bound on a template's own run time: a model file is trusted
 * as much as the weights in it.
 */
export class TemplateRenderer {
  /** Whether the template looks for reasoning inside replies. */
  readonly readsReasoning: boolean;
  readonly #template: JinjaTemplate;
  readonly #globals: Readonly<Record<string, unknown>>;
  readonly #clock: { now(): number } | undefined;
  readonly #delimiter: string;

  /** Throws {@link TemplateRefusal} when the source is not Jinja. `clock` undefined: the template gets no date. */
  constructor(source: string, options: { bosText: string; eosText: string; clock: { now(): number } | undefined }) {
    try {
      this.#template = new JinjaTemplate(source);
    } catch (error) {
      if (!(error instanceof JinjaError)) throw error;
      throw new TemplateRefusal(`cannot be parsed (${error.message})`);
    }
    this.#globals = { bos_token: options.bosText, eos_token: options.eosText };
    this.#clock = options.clock;
    this.#delimiter = unusedCharacter(source + options.bosText + options.eosText);
    this.readsReasoning = source.includes('</think>');
  }

  /** Stands for the content of message `index`. */
  mark(index: number | string): string {
    return `${this.#delimiter}${index}${this.#delimiter}`;
  }

  /**
   * Where the contents of a conversation with these roles go. Throws {@link TemplateRefusal} when the template raises an
   * exception, or leaves out, repeats or reorders contents. `dates` of another skeleton are printed again, so that two
   * can be compared while the clock runs.
   */
  skeleton(roles: readonly Role[], options: { generationPrompt: boolean; dates?: Skeleton['dates'] }): Skeleton {
    const dates = new Map(options.dates);
    const marks = roles.map((_, index) => this.mark(index));
    const messages = (start: string, end: string) =>
      roles.map((role, index) => ({ role, content: start + marks[index] + end }));
    const text = this.#run(messages('', ''), options.generationPrompt, dates);
    const padded = this.#run(messages(PADDING.start, PADDING.end), options.generationPrompt, dates);
    const literals = this.#split(text, roles);
    const paddedLiterals = this.#split(padded, roles);
    return {
      literals,
      text,
      dates,
      slots: roles.map((role, index) => this.#slot(role, index, literals, paddedLiterals)),
    };
  }

  /** The text of a conversation whose contents are marks, or harmless text with marks in it. */
  render(messages: readonly { role: Role; content: string }[], options: { generationPrompt: boolean }): string {
    return this.#run(messages, options.generationPrompt, new Map());
  }

  /** Literals and the names of the marks between them: literal, mark, literal, … , literal. */
  splitAtMarks(text: string): { literals: string[]; marks: number[] } {
    const parts = text.split(this.#delimiter);
    return {
      literals: parts.filter((_, index) => index % 2 === 0),
      marks: parts.filter((_, index) => index % 2 === 1).map(Number),
    };
  }

  /** Whether a skeleton made earlier would be made the same now, as far as dates go. */
  isCurrent(skeleton: Pick<Skeleton, 'dates'>): boolean {
    for (const [format, text] of skeleton.dates) {
      if (this.#clock === undefined || strftime(this.#clock.now(), format) !== text) return false;
    }
    return true;
  }

  #run(messages: readonly object[], generationPrompt: boolean, dates: Map<string, string>): string {
    const clock = this.#clock;
    const printDate = (format: unknown) => {
      const text = dates.get(String(format)) ?? strftime((clock as { now(): number }).now(), String(format));
      dates.set(String(format), text);
      return text;
    };
    const functions = {
      raise_exception: (reason: unknown): never => {
        throw new TemplateRefusal(`refuses it: "${String(reason)}"`);
      },
      ...(clock === undefined ? {} : { strftime_now: printDate }),
    };
    const variables = { ...this.#globals, messages, add_generation_prompt: generationPrompt };
    try {
      return this.#template.render(variables, functions);
    } catch (error) {
      if (error instanceof JinjaError) throw new TemplateRefusal(`cannot be rendered (it ${error.message})`);
      throw error;
    }
  }

  #split(text: string, roles: readonly Role[]): string[] {
    const { literals, marks } = this.splitAtMarks(text);
    const times = new Array<number>(roles.length).fill(0);
    for (const mark of marks) times[mark] = (times[mark] as number) + 1;
    for (const [index, role] of roles.entries()) {
      if (times[index] === 0) throw new TemplateRefusal(`leaves out ${role} messages`);
      if (times[index] !== 1) throw new TemplateRefusal(`repeats ${role} messages`);
    }
    const moved = marks.findIndex((message, place) => message !== place);
    if (moved >= 0) throw new TemplateRefusal(`moves the ${roles[moved]} message to a later place`);
    return literals;
  }

  #slot(role: Role, index: number, literals: readonly string[], padded: readonly string[]): Slot {
    const before = literals[index] as string;
    const after = literals[index + 1] as string;
    const paddedBefore = padded[index] as string;
    const paddedAfter = padded[index + 1] as string;
    // A literal between two slots grows at both ends, so look only at the end that touches this slot.
    const trimsStart = !paddedBefore.endsWith(before + PADDING.start);
    const trimsEnd = !paddedAfter.startsWith(PADDING.end + after);
    return { role, trimsStart, trimsEnd };
  }
}

/** A private-use character that the template does not contain, so that marks are found again without doubt. */
function unusedCharacter(text: string): string {
  let code = 0xe000;
  while (text.includes(String.fromCharCode(code))) code++;
  return String.fromCharCode(code);
}

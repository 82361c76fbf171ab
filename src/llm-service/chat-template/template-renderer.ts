import { JinjaError, JinjaTemplate } from '../jinja/template.ts';
import { strftime } from './strftime.ts';

/** The template refuses a conversation, or cannot carry it unchanged. The message is a clause about the template. */
export class TemplateRefusal extends Error {}

/**
 * A chat template's Jinja source, parsed once. Message contents never go through Jinja: it sees marks in their place,
 * so that no content can act as template text. What a template may do is bounded in `jinja/work.ts`: one that never ends is
 * refused when the node starts.
 */
export class TemplateRenderer {
  readonly #source: string;
  readonly #template: JinjaTemplate;
  readonly #globals: Readonly<Record<string, unknown>>;
  readonly #clock: { now(): number } | undefined;
  readonly #delimiter: string;
  readonly #inParts: boolean;

  /**
   * Throws {@link TemplateRefusal} when the source is not Jinja. `clock` undefined: the template gets no date. `contents`: what it
   * gets for a content, its text or a list of one part, as templates of models that see pictures want it.
   */
  constructor(
    source: string,
    options: {
      readonly bosText: string;
      readonly eosText: string;
      readonly clock: { now(): number } | undefined;
      readonly contents?: 'text' | 'parts';
    },
  ) {
    try {
      this.#template = new JinjaTemplate(source);
    } catch (error) {
      if (!(error instanceof JinjaError)) throw error;
      throw new TemplateRefusal(`cannot be parsed (${error.message})`);
    }
    this.#globals = { bos_token: options.bosText, eos_token: options.eosText };
    this.#clock = options.clock;
    this.#inParts = options.contents === 'parts';
    this.#delimiter = unusedCharacter(source + options.bosText + options.eosText);
    this.#source = source;
  }

  /** Stands for a content. */
  mark(name: number | string): string {
    return `${this.#delimiter}${name}${this.#delimiter}`;
  }

  /** Whether the template's source has this text in it. */
  mentions(text: string): boolean {
    return this.#source.includes(text);
  }

  /** Whether the template's source looks at this field of a message, which it calls so or by an abbreviation. */
  reads(field: string): boolean {
    return new RegExp(`\\b(?:message|msg|m)(?:\\.|\\[['"]|\\.get\\(['"])${field}\\b`).test(this.#source);
  }

  /**
   * The text of a conversation whose contents are marks, or harmless text with marks in it. Throws {@link TemplateRefusal}
   * where the template raises an exception. Dates in `dates` are printed again, and those that are new are added.
   */
  render(
    messages: readonly object[],
    options: {
      readonly generationPrompt: boolean;
      readonly dates?: Map<string, string>;
      readonly tools?: readonly object[];
    },
  ): string {
    return this.#run(messages, { dates: new Map(), ...options });
  }

  /** Literals and the names of the marks between them: literal, mark, literal, … , literal. */
  splitAtMarks(text: string): { literals: string[]; marks: string[] } {
    const parts = text.split(this.#delimiter);
    return {
      literals: parts.filter((_, index) => index % 2 === 0),
      marks: parts.filter((_, index) => index % 2 === 1),
    };
  }

  /** Whether these dates would be printed the same now. */
  isCurrent(dates: ReadonlyMap<string, string>): boolean {
    for (const [format, text] of dates) {
      if (this.#clock === undefined || strftime(this.#clock.now(), format) !== text) return false;
    }
    return true;
  }

  #run(
    messages: readonly object[],
    options: {
      readonly generationPrompt: boolean;
      readonly dates: Map<string, string>;
      readonly tools?: readonly object[];
    },
  ): string {
    const { generationPrompt, dates, tools } = options;
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
    const given = this.#inParts ? messages.map(inParts) : messages;
    const said = { messages: given, add_generation_prompt: generationPrompt };
    const variables = { ...this.#globals, ...said, ...(tools !== undefined && tools.length > 0 && { tools }) };
    try {
      return this.#template.render(variables, functions);
    } catch (error) {
      if (error instanceof JinjaError) throw new TemplateRefusal(`cannot be rendered (${error.message})`);
      throw error;
    }
  }
}

function inParts(message: object): object {
  const { content } = message as { content?: unknown };
  return typeof content === 'string' ? { ...message, content: [{ type: 'text', text: content }] } : message;
}

/** A private-use character that the template does not contain, so that marks are found again without doubt. */
function unusedCharacter(text: string): string {
  let code = 0xe000;
  while (text.includes(String.fromCharCode(code))) code++;
  return String.fromCharCode(code);
}

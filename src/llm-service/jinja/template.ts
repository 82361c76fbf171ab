import { execute } from './execute.ts';
import { globalNames } from './library.ts';
import { parse } from './parser.ts';
import { Scope } from './scope.ts';
import type { Body } from './syntax.ts';
import { Callable, fromJson, JinjaError, type Value } from './values.ts';
import { withinWork } from './work.ts';

export { JinjaError } from './values.ts';

/**
 * A chat template as transformers and llama.cpp read it: Jinja2's immutable sandbox with `trim_blocks`, `lstrip_blocks`,
 * `break` and `continue`, `{% generation %}`, and a `tojson` that escapes nothing.
 */
export class JinjaTemplate {
  readonly #body: Body;

  /** Throws {@link JinjaError} when `source` cannot be parsed. */
  constructor(source: string) {
    try {
      this.#body = parse(source);
    } catch (error) {
      if (error instanceof RangeError) throw new JinjaError('nests too deeply', { cause: error });
      throw error;
    }
  }

  /**
   * The text that the template prints. `variables` are JSON; `functions` get their positional arguments, and return JSON.
   * Throws {@link JinjaError} where Jinja2 raises, and what a function throws.
   */
  render(
    variables: Readonly<Record<string, unknown>>,
    functions: Readonly<Record<string, (...args: readonly Value[]) => unknown>> = {},
  ): string {
    const items = Object.values(variables).reduce<number>(
      (sum, value) => sum + (Array.isArray(value) ? value.length : 0),
      0,
    );
    return withinWork(items, () => this.#render(variables, functions));
  }

  #render(
    variables: Readonly<Record<string, unknown>>,
    functions: Readonly<Record<string, (...args: readonly Value[]) => unknown>>,
  ): string {
    const scope = new Scope();
    for (const [name, value] of globalNames()) scope.set(name, value);
    for (const [name, value] of Object.entries(functions)) {
      scope.set(name, new Callable(name, ({ positional }) => fromJson(value(...positional))));
    }
    for (const [name, value] of Object.entries(variables)) if (value !== undefined) scope.set(name, fromJson(value));
    try {
      return execute(this.#body, new Scope(scope));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const isDeep = error.message.includes('call stack');
      throw new JinjaError(isDeep ? 'calls itself without end' : 'makes more than fits', { cause: error });
    }
  }
}

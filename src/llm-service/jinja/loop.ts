import { equal } from './operators.ts';
import { Callable, Instance, JinjaError, orUndefined, type Value } from './values.ts';

/** `loop` inside of a `for`. */
export class Loop extends Instance {
  readonly type = 'LoopContext';
  readonly #items: readonly Value[];
  readonly #depth: number;
  /** Runs the loop's body over other items, one level deeper; `undefined` where the loop is not `recursive`. */
  readonly #recurse: ((items: Value) => Value) | undefined;
  #index = -1;
  #changing: readonly Value[] | undefined;

  constructor(items: readonly Value[], options: { depth: number; recurse: ((items: Value) => Value) | undefined }) {
    super();
    this.#items = items;
    this.#depth = options.depth;
    this.#recurse = options.recurse;
  }

  advance(): void {
    this.#index++;
  }

  attribute(name: string): Value | undefined {
    const [index, { length }] = [this.#index, this.#items];
    switch (name) {
      case 'index':
        return index + 1;
      case 'index0':
        return index;
      case 'revindex':
        return length - index;
      case 'revindex0':
        return length - index - 1;
      case 'first':
        return index === 0;
      case 'last':
        return index === length - 1;
      case 'length':
        return length;
      case 'depth':
        return this.#depth + 1;
      case 'depth0':
        return this.#depth;
      case 'previtem':
        return orUndefined(index > 0 ? this.#items[index - 1] : undefined, 'the item before the first');
      case 'nextitem':
        return orUndefined(this.#items[index + 1], 'the item after the last');
      case 'cycle':
        return new Callable(name, ({ positional }) => this.#cycled(positional));
      case 'changed':
        return new Callable(name, ({ positional }) => this.#changed(positional));
      case '()':
        return new Callable('loop', ({ positional: [items] }) => {
          if (this.#recurse === undefined) throw new JinjaError('calls a loop that is not recursive');
          return this.#recurse(orUndefined(items, 'the argument of loop()'));
        });
      default:
        return undefined;
    }
  }

  #cycled(items: readonly Value[]): Value {
    if (items.length === 0) throw new JinjaError('cycles through nothing');
    return items[this.#index % items.length] as Value;
  }

  #changed(values: readonly Value[]): boolean {
    const same = this.#changing !== undefined && equal(this.#changing, values);
    this.#changing = values;
    return !same;
  }
}

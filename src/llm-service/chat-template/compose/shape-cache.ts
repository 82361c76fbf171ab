import type { TemplateRenderer } from '../template-renderer.ts';

/** What was made of a template and holds as long as the dates that it printed. */
export interface Dated {
  readonly dates: ReadonlyMap<string, string>;
}

/** Shapes kept: kinds of turns are few, but requests choose them. */
const SHAPES_MAX = 64;
/** Of a shape's key, which has some ten characters for each message: a longer conversation hardly comes twice, and its shape is megabytes. */
const KEY_CHARS_MAX = 8_192;

/**
 * Shapes by what they depend on, the least recently used dropped first, so that whole conversations, of which hardly two are
 * alike, do not drive out what every turn needs; and those with yesterday's date made again.
 */
export class ShapeCache<Shape extends Dated> {
  readonly #renderer: Pick<TemplateRenderer, 'isCurrent'>;
  readonly #shapes = new Map<string, Promise<Shape>>();

  constructor(renderer: Pick<TemplateRenderer, 'isCurrent'>) {
    this.#renderer = renderer;
  }

  async get(key: string, make: () => Promise<Shape>): Promise<Shape> {
    const known = this.#shapes.get(key);
    if (known !== undefined) {
      const shape = await known;
      if (this.#renderer.isCurrent(shape.dates)) {
        this.#keep(key, known);
        return shape;
      }
    }
    const made = make();
    if (key.length > KEY_CHARS_MAX) return made;
    this.#keep(key, made);
    made.catch(() => {
      if (this.#shapes.get(key) === made) this.#shapes.delete(key);
    });
    return made;
  }

  /** As the one used last. */
  #keep(key: string, shape: Promise<Shape>): void {
    this.#shapes.delete(key);
    this.#shapes.set(key, shape);
    if (this.#shapes.size > SHAPES_MAX) this.#shapes.delete(this.#shapes.keys().next().value as string);
  }
}

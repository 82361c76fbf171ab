import type { Role } from '../../domain/record/turn-record.ts';
import type { SegmentShape } from './segment-shape.ts';
import type { TemplateRenderer } from './template-renderer.ts';

/** Shapes kept: sequences of roles are few, but requests choose them. */
const SHAPES_MAX = 32;

/**
 * Shapes by sequence of roles, the least recently used dropped first, so that whole conversations, of which hardly two are
 * alike, do not drive out what every turn needs; and those with yesterday's date made again.
 */
export class ShapeCache<Shape extends SegmentShape> {
  readonly #renderer: Pick<TemplateRenderer, 'isCurrent'>;
  readonly #make: (roles: readonly Role[]) => Promise<Shape>;
  readonly #shapes = new Map<string, Promise<Shape>>();

  constructor(renderer: Pick<TemplateRenderer, 'isCurrent'>, make: (roles: readonly Role[]) => Promise<Shape>) {
    this.#renderer = renderer;
    this.#make = make;
  }

  async get(roles: readonly Role[]): Promise<Shape> {
    const key = roles.join();
    const known = this.#shapes.get(key);
    if (known !== undefined) {
      const shape = await known;
      if (this.#renderer.isCurrent(shape)) {
        this.#keep(key, known);
        return shape;
      }
    }
    const made = this.#make(roles);
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

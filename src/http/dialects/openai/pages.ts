import { Type } from 'typebox';
import { DiscedgeError } from '../../../domain/errors.ts';
import { Include } from './included.ts';

const LIMIT_MAX = 100;
const LIMIT = 20;

/** How OpenAI's clients ask for a page of a list. */
export const PageQuery = Type.Object({
  after: Type.Optional(Type.String({ description: 'Go on after the item of this id.' })),
  before: Type.Optional(Type.String({ description: 'Stop before the item of this id.' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMIT_MAX, description: 'Default 20.' })),
  order: Type.Optional(Type.Unsafe<'asc' | 'desc'>({ type: 'string', enum: ['asc', 'desc'] })),
});

/** The same of items of responses. */
export const ItemPageQuery = Type.Object({ ...PageQuery.properties, include: Include });

export const pageOf = <Schema extends import('typebox').TSchema>(item: Schema, title: string) =>
  Type.Object(
    {
      object: Type.Literal('list'),
      data: Type.Array(item),
      first_id: Type.Union([Type.String(), Type.Null()]),
      last_id: Type.Union([Type.String(), Type.Null()]),
      has_more: Type.Boolean(),
    },
    { title },
  );

/** A page of items that are given oldest first. Throws `invalid_request` for an `after` or `before` that is none of them. */
export function page<Item extends { readonly id: string }>(
  items: readonly Item[],
  query: { after?: string; before?: string; limit?: number; order?: 'asc' | 'desc' },
) {
  const { after, before, limit = LIMIT, order = 'desc' } = query;
  const ordered = order === 'asc' ? items : items.toReversed();
  const start = after === undefined ? 0 : placeOf(ordered, after, 'after') + 1;
  const end = before === undefined ? ordered.length : placeOf(ordered, before, 'before');
  const data = ordered.slice(start, Math.max(start, Math.min(end, start + limit)));
  return {
    object: 'list' as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + data.length < end,
  };
}

function placeOf(items: readonly { readonly id: string }[], id: string, param: string): number {
  const place = items.findIndex((item) => item.id === id);
  if (place >= 0) return place;
  throw new DiscedgeError('invalid_request', `${param} names no item of this list`, { param });
}

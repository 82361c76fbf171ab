// Tries to have what looks how deep JSON goes make copies of lists, which may have millions of elements.
import { expect, it } from 'vitest';
import { isDeeperThan } from '../../../src/domain/json/json-depth.ts';
import { depthFault } from '../../../src/http/requests/json-depth.ts';

const DEPTH_MAX = 64;
const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);

/** A list that counts how often its places are listed. */
function watched(list: unknown[]): { readonly list: unknown[]; readonly listings: () => number } {
  let listings = 0;
  const ownKeys = (target: unknown[]) => {
    listings++;
    return Reflect.ownKeys(target);
  };
  return { list: new Proxy(list, { ownKeys }), listings: () => listings };
}

it('goes as deep as it may and no deeper', () => {
  expect([0, 1, 2].map((levels) => isDeeperThan(nested(2), levels))).toEqual([true, true, false]);
  expect(isDeeperThan({ a: 1, b: { c: [] } }, 2)).toBe(true);
  expect(isDeeperThan({ a: 1, b: { c: 1 } }, 2)).toBe(false);
});

it('names what is nested too deep, of a body that is a list by its place', () => {
  expect(depthFault({ a: 1, b: nested(DEPTH_MAX) })).toBeUndefined();
  expect(depthFault({ a: 1, b: nested(DEPTH_MAX + 1) })).toMatchObject({ code: 'invalid_request', param: 'b' });
  expect(depthFault([1, nested(DEPTH_MAX + 1)])).toMatchObject({ code: 'invalid_request', param: '1' });
  expect(depthFault([1, nested(DEPTH_MAX)])).toBeUndefined();
});

it('lists no places of a list', () => {
  const [inner, outer] = [watched([1, {}]), watched([2, nested(3)])];
  expect(depthFault({ inner: inner.list })).toBeUndefined();
  expect(depthFault(outer.list)).toBeUndefined();
  expect([inner.listings(), outer.listings()]).toEqual([0, 0]);
});

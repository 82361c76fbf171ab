// Tries to have something kept that only one session begins with, to have less found than is kept, and to have it outlive the
// sessions that began so.
import { beforeEach, expect, test } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import {
  SHARED_PREFIXES_MAX,
  SHARED_TOKENS_MIN,
  SharedPrefixes,
} from '../../../src/llm-service/embedded/kept-state/shared-prefixes.ts';

let forgotten: string[];
let prefixes: SharedPrefixes;
beforeEach(() => {
  forgotten = [];
  prefixes = new SharedPrefixes(async (key) => void forgotten.push(key));
});

const ids = (length: number, first: number) => Array.from({ length }, (_, i) => (first + i) as TokenId);
/** A prompt that begins with `shared` ids of a kind and goes on with its own. */
const prompt = (own: number, shared = 100, kind = 0) => [...ids(shared, kind * 1_000), ...ids(50, 100_000 + own * 100)];

test('what a second session begins with as a first one did is worth keeping, and found by the third', () => {
  expect(prefixes.observe('a', prompt(1))).toBeUndefined();
  const shared = prefixes.observe('b', prompt(2));
  expect(shared?.tokens).toBe(100);
  expect(prefixes.find('c', prompt(3))).toBeUndefined();
  shared?.settled(true);
  expect(prefixes.find('c', prompt(3))).toEqual({ key: shared?.key, tokens: 100 });
  expect(prefixes.observe('c', prompt(3))).toBeUndefined();
  expect(SharedPrefixes.isKey(shared?.key ?? '')).toBe(true);
});

test('neither a session with itself, nor what is too short to be worth it', () => {
  prefixes.observe('a', prompt(1));
  expect(prefixes.observe('a', prompt(1))).toBeUndefined();
  expect(prefixes.observe('b', prompt(2, SHARED_TOKENS_MIN - 1))).toBeUndefined();
});

test('a session that was not evaluated so far is told again, until it is, or begins in another way', () => {
  prefixes.observe('a', prompt(1));
  const shared = prefixes.observe('b', prompt(2));
  expect(prefixes.observe('b', prompt(3))).toBe(shared);
  expect(prefixes.observe('b', prompt(2, 50))).toBeUndefined();
  expect(prefixes.observe('b', prompt(2))).toBeUndefined();
  const second = prefixes.observe('c', prompt(4));
  second?.settled(false);
  expect(prefixes.observe('c', prompt(4))).toBeUndefined();
  expect(prefixes.find('d', prompt(5))).toBeUndefined();
});

test('never all of a prompt: its last id is evaluated', () => {
  prefixes.observe('a', ids(100, 0));
  expect(prefixes.observe('b', ids(100, 0))?.tokens).toBe(99);
});

test('a longer one is worth keeping beside a shorter one, and the longest is found', () => {
  prefixes.observe('a', prompt(1));
  prefixes.observe('b', prompt(2))?.settled(true);
  prefixes.observe('c', prompt(1).concat(ids(30, 7_000)));
  const longer = prefixes.observe('d', prompt(1).concat(ids(30, 8_000)));
  expect(longer?.tokens).toBe(150);
  longer?.settled(true);
  expect(prefixes.find('e', prompt(1).concat(ids(9, 9_000)))?.tokens).toBe(150);
  expect(prefixes.find('f', prompt(3))?.tokens).toBe(100);
});

test('goes with the last session that begins so, and not before', () => {
  prefixes.observe('a', prompt(1));
  const shared = prefixes.observe('b', prompt(2));
  shared?.settled(true);
  prefixes.find('c', prompt(3));
  for (const session of ['a', 'b']) prefixes.forget(session);
  expect(forgotten).toEqual([]);
  prefixes.forget('c');
  expect(forgotten).toEqual([shared?.key]);
  expect(prefixes.find('d', prompt(4))).toBeUndefined();
});

test('is dropped at once where its sessions have gone before it was kept', () => {
  prefixes.observe('a', prompt(1));
  const shared = prefixes.observe('b', prompt(2));
  for (const session of ['a', 'b']) prefixes.forget(session);
  shared?.settled(true);
  expect(forgotten).toEqual([shared?.key]);
});

test('no more than so many are kept, the oldest going first', () => {
  const keys = [];
  for (let kind = 1; kind <= SHARED_PREFIXES_MAX + 2; kind++) {
    prefixes.observe(`a${kind}`, prompt(1, 100, kind));
    const shared = prefixes.observe(`b${kind}`, prompt(2, 100, kind));
    shared?.settled(true);
    keys.push(shared?.key);
  }
  expect(forgotten).toEqual(keys.slice(0, 2));
});

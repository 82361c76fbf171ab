import type { Chance } from '../../tools/chance.ts';

const VALUES: readonly unknown[] = [
  ...[null, true, false, '', '.', '..', 'a\u0000b', '\ud800', '\u202e', '__proto__', 'x'.repeat(300), '9'.repeat(40)],
  ...[0, -1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, -1e308, 1e-320],
  ...[[], {}, [[]], [null], [{}], ['x', 1], JSON.parse('{"__proto__":{"a":1}}'), { constructor: 1, toString: 2 }],
];
const NESTED_MAX = 100;

interface Place {
  readonly holder: Record<string, unknown> | unknown[];
  readonly key: string | number;
}

/** The JSON text with something in it put elsewhere, left out, nested or replaced; `undefined` where it is no JSON. */
export function changedJson(
  bytes: Buffer,
  { chance, words }: { readonly chance: Chance; readonly words: readonly string[] },
): Buffer | undefined {
  let root: { value: unknown };
  try {
    root = { value: JSON.parse(bytes.toString()) };
  } catch {
    return undefined;
  }
  const places = [...placesIn(root)];
  const { holder, key } = chance.of(places);
  const value = read({ holder, key });
  const put = (other: unknown) => write({ holder, key }, other);
  chance.weighted<() => unknown>([
    [4, () => put(chance.of(VALUES))],
    [3, () => put(read(chance.of(places)))],
    [2, () => put(nested(value, chance.below(chance.oneIn(4) ? NESTED_MAX : 3)))],
    [2, () => remove({ holder, key })],
    [2, () => put(Array.isArray(value) ? [...value, ...value] : [value, value])],
    [words.length === 0 ? 0 : 3, () => put(chance.of(words))],
    [words.length === 0 ? 0 : 3, () => addTo(value, chance.of(words), read(chance.of(places)))],
    [1, () => put(typeof value === 'string' ? value.repeat(1 + chance.below(50)) : written(value)?.text)],
  ])();
  const changed = written(root.value);
  return changed && Buffer.from(changed.text ?? '');
}

/** `undefined`: it holds itself, by a part that was put into itself, or nests deeper than it can be written. */
function written(value: unknown): { readonly text: string | undefined } | undefined {
  try {
    return { text: JSON.stringify(value) };
  } catch {
    return undefined;
  }
}

/** Without recursion: what nests deepest is what is looked for. */
function* placesIn(root: object): Generator<Place> {
  for (const holders = [root]; ; ) {
    const holder = holders.pop();
    if (holder === undefined) return;
    for (const key of Object.keys(holder)) {
      const place: Place = { holder: holder as Record<string, unknown>, key };
      yield place;
      const value = read(place);
      if (typeof value === 'object' && value !== null) holders.push(value);
    }
  }
}

const read = ({ holder, key }: Place) => (holder as Record<string, unknown>)[key];

function write({ holder, key }: Place, value: unknown): void {
  Object.defineProperty(holder, key, { value, enumerable: true, writable: true, configurable: true });
}

function remove({ holder, key }: Place): void {
  if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
}

function addTo(value: unknown, name: string, added: unknown): void {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    write({ holder: value as Record<string, unknown>, key: name }, added);
}

function nested(value: unknown, levels: number): unknown {
  let outer = value;
  for (let level = 0; level < levels; level++) outer = level % 2 === 0 ? [outer] : { a: outer };
  return outer;
}

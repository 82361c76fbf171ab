// Reads JSON that comes in pieces as a parser reads it whole: any object, cut anywhere, and anything that is none.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type JsonBounds, jsonMembers } from '../../../src/domain/json/json-members.ts';

async function* inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let piece = 0; at < bytes.length; piece++) {
    const size = sizes[piece % sizes.length] as number;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

type BoundsOf = (name: string) => JsonBounds | undefined;
const WIDE: JsonBounds = { bytesMax: 1e9, weightMax: 1e9 };

async function membersOf(
  text: string | Uint8Array,
  { sizes = [5], boundsOf = () => WIDE }: { sizes?: readonly number[]; boundsOf?: BoundsOf } = {},
): Promise<[string, unknown][]> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const members: [string, unknown][] = [];
  for await (const { name, value } of jsonMembers(inPieces(bytes, sizes), { list: 'list', boundsOf }))
    members.push([name, value]);
  return members;
}

/** What a parser makes of the whole; `undefined` where it is no object with that list. */
function whole(text: string): [string, unknown][] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (value === null || typeof value !== 'object' || !Array.isArray((value as { list?: unknown }).list))
    return undefined;
  return Object.entries(value).flatMap(([name, member]) =>
    name === 'list' ? (member as unknown[]).map((element): [string, unknown] => [name, element]) : [[name, member]],
  );
}

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
// What JSON.parse makes of -0 and JSON.stringify does not.
const json = fc.jsonValue({ noUnicodeString: false }).map((value) => JSON.parse(JSON.stringify(value)));
const member = fc.string({ minLength: 1, maxLength: 8 }).filter((name) => !/^(list|__proto__|\d+)$/.test(name));
const objects = fc
  .record({ before: fc.dictionary(member, json), list: fc.array(json, { maxLength: 6 }), last: json })
  .map(({ before, list, last }) => ({ ...before, list, last }));

describe('an object', () => {
  it('is read as a whole is, wherever it is cut, with spaces or without', async () => {
    await fc.assert(
      fc.asyncProperty(objects, sizes, fc.constantFrom('', ' ', '\t', '\r\n  '), async (object, cut, space) => {
        const text = JSON.stringify(object, undefined, space);
        expect(await membersOf(`${space}${text}${space.trim()}\n`, { sizes: cut })).toEqual(whole(text));
      }),
    );
  });

  it('that was changed somewhere is read as a parser would, or refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        objects,
        fc.nat(),
        fc.constantFrom(...'{}[],:"\\0e-. x'),
        fc.boolean(),
        async (object, at, byte, isAdded) => {
          const text = JSON.stringify(object).replace(/[^ -~]/g, 'u');
          const place = at % text.length;
          const changed = text.slice(0, place) + byte + text.slice(place + (isAdded ? 0 : 1));
          const expected = whole(changed);
          if (expected === undefined)
            await expect(membersOf(changed), changed).rejects.toMatchObject({ code: 'invalid_request' });
          // One name may stand twice, of which a parser keeps the last.
          else expect(new Map(await membersOf(changed))).toEqual(new Map(expected));
        },
      ),
      { numRuns: 500 },
    );
  });
});

it('what is too long is passed over, and what is around it is not', async () => {
  const long = { text: 'x'.repeat(1_000), more: ['}', '"', '\\'] };
  const text = JSON.stringify({ a: long, list: [1, long, { b: 2 }, long], z: 'end' });
  expect(await membersOf(text, { boundsOf: () => ({ ...WIDE, bytesMax: 100 }), sizes: [7, 64] })).toEqual([
    ['a', undefined],
    ['list', 1],
    ['list', undefined],
    ['list', { b: 2 }],
    ['list', undefined],
    ['z', 'end'],
  ]);
});

describe('is neither kept nor parsed:', () => {
  const watched = () => ({ kept: vi.spyOn(Buffer, 'concat'), parse: vi.spyOn(JSON, 'parse') });
  let calls: ReturnType<typeof watched>;
  beforeEach(() => {
    calls = watched();
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  const longestParsed = () => Math.max(...calls.parse.mock.calls.map(([text]) => text.length));
  const mostKept = () =>
    Math.max(...calls.kept.mock.calls.map(([pieces]) => pieces.reduce((sum, { length }) => sum + length, 0)));

  it.each([
    ['objects', '{},'.repeat(10_000), '{}'],
    ['lists', '[],'.repeat(10_000), '[]'],
    ['lists in lists', '['.repeat(10_000), ']'.repeat(10_000)],
    ['texts', '"ab",'.repeat(10_000), '""'],
    ['numbers', '1,'.repeat(10_000), '1'],
  ])('what has too many %s, however few its bytes', async (_what, many, last) => {
    const text = `{"a":[${many}${last}],"list":[[${many}${last}],[1,2],{"of":[${many}${last}]}],"z":"[{,"}`;
    const told = await membersOf(text, { sizes: [64, 1_000], boundsOf: () => ({ ...WIDE, weightMax: 3_000 }) });
    expect(told).toEqual([
      ['a', undefined],
      ['list', undefined],
      ['list', [1, 2]],
      ['list', undefined],
      ['z', '[{,'],
    ]);
    expect([longestParsed(), mostKept()]).toEqual([6, 6]);
  });

  it('a member that nobody reads, a long name, and what an element has beyond its own bounds', async () => {
    const boundsOf = (name: string) =>
      new Map([
        ['a', { bytesMax: 10, weightMax: 5 }],
        ['list', { bytesMax: 100, weightMax: 20 }],
      ]).get(name);
    const long = 'x'.repeat(5_000);
    const text = `{"unread":["${long}"],"${long}":7,"a":"${long}","list":[{"a":"${long}"},[1]],"also unread":{"list":[8]},"a":1}`;
    expect(await membersOf(text, { sizes: [64], boundsOf })).toEqual([
      ['a', undefined],
      ['list', undefined],
      ['list', [1]],
      ['a', 1],
    ]);
    expect([longestParsed(), mostKept()]).toEqual(['"also unread"'.length, '"also unread"'.length]);
    for (const cut of ['{"unread":,"list":[]}', '{"unread":[1,"list":[]}', `{"${long}`, `{"${long}"`, '{"unread":"'])
      await expect(membersOf(cut, { boundsOf }), cut.slice(0, 20)).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

it('what ends too early, or goes on, or is no UTF-8, is refused, and says none of it', async () => {
  const bad = [
    ...[
      '',
      ' ',
      '[]',
      '"list"',
      '{}',
      '{"a":1}',
      '{"list":{}}',
      '{"list":null}',
      '{"list":[',
      '{"list":[1',
      '{"list":[1]',
    ],
    ...['{"list":[]}}', '{"list":[]} x', '{"list":[,]}', '{"list":[1,]}', '{"list":[],}', '{list:[]}', '{"list" []}'],
    ...['{"list":[1 2]}', '{"a" "b","list":[]}', '\ufeff{"list":[]}'],
    Buffer.concat([Buffer.from('{"list":["canary'), Buffer.from([0xff]), Buffer.from('"]}')]),
  ];
  for (const text of bad) {
    const refused = await membersOf(text).catch((error: unknown) => error);
    expect(refused, String(text)).toMatchObject({ code: 'invalid_request' });
    expect(String(refused)).not.toContain('canary');
  }
});

it('a source that fails is not taken for an end', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('{"list":[1');
    throw new Error('cut');
  }
  const reading = jsonMembers(broken(), { list: 'list', boundsOf: () => WIDE });
  await expect(reading.next()).rejects.toThrow('cut');
});

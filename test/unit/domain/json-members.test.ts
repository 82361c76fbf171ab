// Reads JSON that comes in pieces as a parser reads it whole: any object, cut anywhere, and anything that is none.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonMembers } from '../../../src/domain/json-members.ts';

async function* inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let piece = 0; at < bytes.length; piece++) {
    const size = sizes[piece % sizes.length] as number;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function membersOf(
  text: string | Uint8Array,
  { sizes = [5], bytesMax = 1e9 }: { sizes?: readonly number[]; bytesMax?: number } = {},
): Promise<[string, unknown][]> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const members: [string, unknown][] = [];
  for await (const { name, value } of jsonMembers(inPieces(bytes, sizes), { list: 'list', bytesMax }))
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
  expect(await membersOf(text, { bytesMax: 100, sizes: [7, 64] })).toEqual([
    ['a', undefined],
    ['list', 1],
    ['list', undefined],
    ['list', { b: 2 }],
    ['list', undefined],
    ['z', 'end'],
  ]);
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
  const reading = jsonMembers(broken(), { list: 'list', bytesMax: 10 });
  await expect(reading.next()).rejects.toThrow('cut');
});

// Tries to make what is written in pieces another text than what is written at once, or one piece of it all.
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { jsonStream } from '../../../src/http/routes/json-stream.ts';

const written = (value: object) => text(jsonStream(value, ['turns', 'branches']));
const turns = Array.from({ length: 3 }, (_, turn) => ({ turn, said: 'é"\u2028🚗', none: undefined, ids: [1, [2]] }));

it.each([
  [{}],
  [{ a: undefined }],
  [{ turns: [] }],
  [{ none: undefined, turns, last: null }],
  [
    {
      a: 1,
      turns,
      branches: [
        { b: 'turns', turns },
        { turns: [], x: { turns } },
      ],
      z: [turns],
    },
  ],
])('%j', async (value) => {
  expect(await written(value)).toBe(JSON.stringify(value));
});

it('comes in pieces that are no longer than they must be', async () => {
  const value = { turns: Array.from({ length: 2_000 }, (_, turn) => ({ turn, reply: 'x'.repeat(1_000) })) };
  let [pieces, longest] = [0, 0];
  for await (const piece of jsonStream(value, ['turns'])) {
    pieces++;
    longest = Math.max(longest, piece.length);
  }
  expect(pieces).toBeGreaterThan(20);
  expect(longest).toBeLessThan(80_000);
});

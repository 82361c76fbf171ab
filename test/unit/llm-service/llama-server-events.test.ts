// Tries to lose, join or invent server-sent events by cutting the bytes anywhere, characters included, and to fill the
// memory with an event that never ends.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readServerSentEvents } from '../../../src/llm-service/http/server-sent-events.ts';

const url = new URL('http://127.0.0.1:1');

async function read(chunks: Iterable<Uint8Array>): Promise<string[]> {
  const events: string[] = [];
  for await (const data of readServerSentEvents(asyncly(chunks), url)) events.push(data);
  return events;
}

async function* asyncly(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

test('events come whole however their bytes are cut', async () => {
  const event = fc.string({ unit: fc.constantFrom('a', '{', ' ', 'é', '漢', '🤖', ':', 'data: ') });
  await fc.assert(
    fc.asyncProperty(
      fc.array(event),
      fc.constantFrom('\n', '\r\n'),
      fc.array(fc.nat({ max: 400 })),
      async (events, newline, cuts) => {
        const text = events.map((data) => `: ping${newline}data: ${data}${newline}id: 1${newline}${newline}`).join('');
        const bytes = Buffer.from(`${text}${newline}${newline}data: never ended`);
        const borders = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = borders.slice(1).map((end, i) => bytes.subarray(borders[i], end));
        expect(await read(chunks)).toEqual(events);
      },
    ),
    { numRuns: 300 },
  );
});

test('lines of data are joined, and a space after the colon is optional', async () => {
  expect(await read([Buffer.from('data:a\ndata: b\n\ndata:\n\n')])).toEqual(['a\nb', '']);
});

test('an event without an end is refused before it fills the memory', async () => {
  const megabyte = Buffer.alloc(1024 * 1024, 'x');
  function* endless(line: string) {
    for (;;) yield Buffer.concat([Buffer.from(line), megabyte]);
  }
  await expect(read(endless(''))).rejects.toMatchObject({ code: 'llm_bad_reply' });
  await expect(read(endless('\ndata: '))).rejects.toMatchObject({ code: 'llm_bad_reply' });
});

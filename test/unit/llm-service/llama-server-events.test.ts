// Tries to lose, join or invent server-sent events by cutting the bytes anywhere, characters included, and to fill the
// memory with an event that never ends.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { ServerSentEvents } from '../../../src/llm-service/http/server-sent-events.ts';

function read(chunks: Iterable<Uint8Array>): string[] {
  const events = new ServerSentEvents(() => new DiscedgeError('llm_bad_reply', 'an endless event'));
  return [...chunks].flatMap((chunk) => events.push(chunk));
}

test('events come whole however their bytes are cut', () => {
  const event = fc.string({ unit: fc.constantFrom('a', '{', ' ', 'é', '漢', '🤖', ':', 'data: ') });
  fc.assert(
    fc.property(
      fc.array(event),
      fc.constantFrom('\n', '\r\n'),
      fc.array(fc.nat({ max: 400 })),
      (events, newline, cuts) => {
        const text = events.map((data) => `: ping${newline}data: ${data}${newline}id: 1${newline}${newline}`).join('');
        const bytes = Buffer.from(`${text}${newline}${newline}data: never ended`);
        const borders = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = borders.slice(1).map((end, i) => bytes.subarray(borders[i], end));
        expect(read(chunks)).toEqual(events);
      },
    ),
    { numRuns: 300 },
  );
});

test('lines of data are joined, and a space after the colon is optional', () => {
  expect(read([Buffer.from('data:a\ndata: b\n\ndata:\n\n')])).toEqual(['a\nb', '']);
});

test('an event without an end is refused before it fills the memory', () => {
  const megabyte = Buffer.alloc(1024 * 1024, 'x');
  const readEndless = (line: string) => () => {
    const events = new ServerSentEvents(() => new DiscedgeError('llm_bad_reply', 'an endless event'));
    for (;;) events.push(Buffer.concat([Buffer.from(line), megabyte]));
  };
  expect(readEndless('')).toThrow(expect.objectContaining({ code: 'llm_bad_reply' }));
  expect(readEndless('\ndata: ')).toThrow(expect.objectContaining({ code: 'llm_bad_reply' }));
});

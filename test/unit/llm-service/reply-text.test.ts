// Tries to make the streamed text show part of a stop word or half a character, lose text, or depend on where the
// pieces were cut: random texts over few letters (so that stop words overlap), random cuts, against a direct search.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ReplyText } from '../../../src/llm-service/reply-text.ts';

function show(pieces: readonly string[], stop: readonly string[]) {
  const reply = new ReplyText(stop);
  const shown: string[] = [];
  for (const piece of pieces) {
    shown.push(reply.push(piece).text);
    if (reply.stoppedBy !== undefined) break;
  }
  shown.push(reply.end());
  return { shown, text: shown.join(''), stoppedBy: reply.stoppedBy };
}

/** The word that ends first in `text`; of those ending together the longest. */
function expected(text: string, stop: readonly string[]) {
  for (let end = 1; end <= text.length; end++) {
    const words = stop.filter((word) => word !== '' && text.slice(0, end).endsWith(word));
    const word = words.sort((a, b) => b.length - a.length)[0];
    if (word !== undefined) return { text: text.slice(0, end - word.length), stoppedBy: word };
  }
  return { text, stoppedBy: undefined };
}

function cut(text: string, at: readonly number[]): string[] {
  const borders = [...new Set([0, ...at.map((i) => i % (text.length + 1)), text.length])].sort((a, b) => a - b);
  return borders.slice(1).map((end, i) => text.slice(borders[i], end));
}

const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '🤖', '🚗'), maxLength: 24 });
const words = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n', '🤖'), maxLength: 5 }), { maxLength: 4 });
const cuts = fc.array(fc.nat(200), { maxLength: 24 });

describe('the text of a reply', () => {
  test('is the text before the first complete stop word, however the pieces are cut', () => {
    fc.assert(
      fc.property(letters, words, cuts, (text, stop, at) => {
        const { text: shown, stoppedBy } = show(cut(text, at), stop);
        expect({ text: shown, stoppedBy }).toEqual(expected(text, stop));
      }),
      { numRuns: 2000 },
    );
  });

  test('is never shown with half a character', () => {
    fc.assert(
      fc.property(letters, words, cuts, (text, stop, at) => {
        for (const piece of show(cut(text, at), stop).shown) expect(piece.isWellFormed()).toBe(true);
      }),
    );
  });

  test('shows nothing that may still become a stop word, and all of it once it cannot', () => {
    const reply = new ReplyText(['\nUser:']);
    expect(reply.push('Yes.\nUs').text).toBe('Yes.');
    expect(reply.push('e').text).toBe('');
    expect(reply.push('ful').text).toBe('\nUseful');
    expect(reply.push('\nUser: hello')).toEqual({ text: '', stoppedBy: '\nUser:' });
    expect(reply.push('more')).toEqual({ text: '', stoppedBy: '\nUser:' });
    expect(reply.end()).toBe('');
  });

  test('shows what it held back when the reply ends', () => {
    const reply = new ReplyText(['###']);
    expect(reply.push('a##').text).toBe('a');
    expect(reply.end()).toBe('##');
  });

  test('without stop words is shown at once', () => {
    const reply = new ReplyText(['']);
    expect(reply.push('abc')).toEqual({ text: 'abc' });
    expect(reply.end()).toBe('');
  });
});

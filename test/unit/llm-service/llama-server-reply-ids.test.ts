// Tries to make the id repair of a streamed llama-server reply believe wrong ids, lose known ones, or give up where it
// need not. A small byte-level tokenizer and a stream cut as the server cuts it (an event shows one id, none while a
// character is incomplete, text held back for stop words) stand for the server, so every true id is known.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { ReplyIds, type StreamEnd, type StreamedChunk } from '../../../src/llm-service/llama-server/reply-ids.ts';

/** Ids 0–255 are bytes; then pieces, some of which cross the border of a character; the last id ends a reply. */
const PIECES = ['ab', 'abc', ' the', 'é', '漢字'].map((text) => Buffer.from(text));
PIECES.push(Buffer.from('漢').subarray(0, 2), Buffer.from('漢').subarray(1, 3));
PIECES.push(Buffer.from('字🤖').subarray(2, 4), Buffer.from('🤖').subarray(1, 3));
/** The last two bytes of 漢, which the tokenizer never takes: it has a piece for the first two. */
const LAST_OF_KAN = 256 + PIECES.length - 3;
const END = (256 + PIECES.length) as TokenId;

const bytesOf = (id: TokenId): Buffer =>
  id === END ? Buffer.alloc(0) : id < 256 ? Buffer.from([id]) : (PIECES[id - 256] as Buffer);
const textOf = (ids: TokenSequence): string => Buffer.concat(ids.map(bytesOf)).toString('utf8');

/** The longest piece first, as a tokenizer of one greedy rule would have it. */
function tokenize(text: string): TokenId[] {
  const bytes = Buffer.from(text);
  const ids: TokenId[] = [];
  for (let at = 0; at < bytes.length; ) {
    const fits = PIECES.filter((piece) => bytes.subarray(at, at + piece.length).equals(piece));
    const longest = fits.sort((a, b) => b.length - a.length)[0];
    const id = longest === undefined ? (bytes[at] as number) : 256 + PIECES.indexOf(longest);
    ids.push(id as TokenId);
    at += bytesOf(id as TokenId).length;
  }
  return ids;
}

interface Streamed {
  readonly chunks: StreamedChunk[];
  readonly end: StreamEnd;
  /** The ids that were sampled: fewer than given where a stop word came. */
  readonly sampled: TokenId[];
  /** What a reply in one piece would show. */
  readonly text: string;
}

/** What llama-server does with each sampled id (0.7, observed). */
function stream(ids: TokenSequence, stop: readonly string[] = []): Streamed {
  const chunks: StreamedChunk[] = [];
  const sampled: TokenId[] = [];
  let all = Buffer.alloc(0);
  let sent = 0;
  for (const id of ids) {
    sampled.push(id);
    all = Buffer.concat([all, bytesOf(id)]);
    if (endsInsideCharacter(all)) continue;
    const unsent = all.toString('utf8').slice(sent);
    const word = stop.find((each) => unsent.includes(each));
    const isHeld = id !== END && stop.some((each) => endsWithStartOf(unsent, each));
    const text = word !== undefined ? unsent.slice(0, unsent.indexOf(word)) : isHeld ? '' : unsent;
    sent += text.length;
    chunks.push({ text, ids: [id], predicted: sampled.length });
    if (word !== undefined) {
      const shown = all.toString('utf8').slice(0, sent);
      return { chunks, sampled, text: shown, end: { predicted: sampled.length, stop: 'word', stoppingWord: word } };
    }
  }
  const kind = ids.at(-1) === END ? 'eos' : 'limit';
  const text = all.subarray(0, all.length - incompleteBytes(all)).toString('utf8');
  return { chunks, sampled, text, end: { predicted: sampled.length, stop: kind, stoppingWord: '' } };
}

function incompleteBytes(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] as number;
    if (byte >= 0xc0) return (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > back ? back : 0;
    if (byte < 0x80) return 0;
  }
  return 0;
}
const endsInsideCharacter = (bytes: Buffer): boolean => incompleteBytes(bytes) > 0;

function endsWithStartOf(text: string, word: string): boolean {
  for (let length = Math.min(text.length, word.length - 1); length > 0; length--) {
    if (text.endsWith(word.slice(0, length))) return true;
  }
  return false;
}

async function repair(streamed: Streamed, tokenizer = tokenize) {
  let asked = 0;
  const ids = new ReplyIds({
    tokenize: async (text) => {
      asked++;
      return tokenizer(text);
    },
    endOfGeneration: new Set([END]),
    eos: END,
  });
  for (const chunk of streamed.chunks) expect(await ids.push(chunk)).toBe(true);
  const rest = await ids.end(streamed.end);
  if (rest === undefined) throw new Error('the end was refused');
  const shown = streamed.chunks.map((chunk) => chunk.text).join('') + textOf(rest.unshown);
  return { ids: ids.ids, isExact: ids.isExact, shown, asked };
}

const ids = (...values: (number | string)[]): TokenId[] =>
  values.flatMap((value) => (typeof value === 'string' ? tokenize(value) : [value as TokenId]));

describe('a streamed reply', () => {
  test('of one id per event is taken as it is, without asking the tokenizer', async () => {
    const sampled = ids('a the c', END);
    expect(await repair(stream(sampled))).toEqual({ ids: sampled, isExact: true, shown: 'a the c', asked: 0 });
  });

  test('gets back the ids that a character hides', async () => {
    const { ids: repaired, isExact } = await repair(stream(ids('x🤖é🤖', END)));
    expect([repaired, isExact]).toEqual([ids('x🤖é🤖', END), true]);
    // 漢 was written in three bytes, or in two other pieces, where the tokenizer has its own piece for two of them.
    for (const written of [
      [0xe6, 0xbc, 0xa2],
      [0xe6, LAST_OF_KAN],
    ]) {
      const odd = await repair(stream(ids('a🤖漢字b', ...written, END)));
      expect(odd.isExact).toBe(false);
      expect(textOf(odd.ids)).toBe('a🤖漢字b漢');
      expect(odd.ids.at(-1)).toBe(END);
    }
  });

  test('that hides ids in text held back for a stop word gets them back, the word included', async () => {
    for (const [text, stop] of [
      ['x🤖b', 'x🤖c'],
      ['x🤖b', '🤖b'],
      ['🤖🤖', '🤖🤖'],
    ] as const) {
      const streamed = stream(ids(text, END), [stop]);
      const repaired = await repair(streamed);
      expect(repaired).toMatchObject({ ids: streamed.sampled, isExact: true, shown: streamed.text });
    }
  });

  test('cut by its limit shows what was held back for a stop word', async () => {
    const sampled = ids('so the');
    const repaired = await repair(stream(sampled, [' then']));
    expect(repaired).toMatchObject({ ids: sampled, isExact: true, shown: 'so the' });
  });

  test('cut inside a character goes on without it and says so', async () => {
    const sampled = ids('so ', 0xf0, 0x9f);
    expect(await repair(stream(sampled))).toMatchObject({ ids: ids('so '), isExact: false, shown: 'so ' });
    expect(await repair(stream([...sampled, END]))).toMatchObject({ ids: ids('so ', END), isExact: false });
  });

  test('cut inside a character, with hidden ids held back, keeps only the ids before those', async () => {
    const repaired = await repair(stream(ids('x🤖', 0xf0), ['x🤖c']));
    expect(repaired).toMatchObject({ ids: ids('x'), isExact: false, shown: 'x' });
  });

  test('of a tokenizer that begins every text with a space is repaired all the same', async () => {
    const spaced = (text: string): TokenId[] => (text === '' ? [] : ids(0x20, text));
    const sampled = ids('x🤖é🤖', END);
    expect(await repair(stream(sampled), spaced)).toMatchObject({ ids: sampled, isExact: true });
  });

  test('whose counts contradict each other is refused', async () => {
    const fresh = () => new ReplyIds({ tokenize: async () => [], endOfGeneration: new Set(), eos: undefined });
    const one = ids('a');
    for (const chunks of [
      [{ text: 'a', ids: one, predicted: 0 }],
      [
        { text: 'a', ids: one, predicted: 2 },
        { text: 'a', ids: one, predicted: 2 },
      ],
      [
        { text: 'a', ids: one, predicted: 3 },
        { text: '', ids: [], predicted: 2 },
      ],
      [{ text: 'a', ids: [], predicted: 1 }],
    ]) {
      const reply = fresh();
      const accepted = [];
      for (const chunk of chunks) accepted.push(await reply.push(chunk));
      expect(accepted.at(-1)).toBe(false);
    }
    const ended = fresh();
    await ended.push({ text: 'a', ids: one, predicted: 1 });
    expect(await ended.end({ predicted: 0, stop: 'eos', stoppingWord: '' })).toBeUndefined();
  });
});

describe('whatever the model writes', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c', ' ', ' the', 'é', '漢', '字', '🤖', '\n'), { maxLength: 12 });
  const stop = fc.array(fc.constantFrom('ab', 'c 漢', '🤖漢', 'b 🤖', '字', ' then', 'aé'), { maxLength: 2 });

  test('ids as the tokenizer gives them come back exactly, whole characters shown', async () => {
    await fc.assert(
      fc.asyncProperty(text, stop, fc.boolean(), async (words, stops, ends) => {
        const streamed = stream(ids(words.join(''), ...(ends ? [END] : [])), stops);
        const repaired = await repair(streamed);
        if (streamed.end.stop === 'limit' && !repaired.isExact) {
          // The limit came while the server held a text back that hides ids: neither is ever sent.
          expect(stops.some((word) => endsWithStartOf(streamed.text, word))).toBe(true);
          expect(streamed.text.startsWith(repaired.shown)).toBe(true);
          expect(textOf(repaired.ids)).toBe(repaired.shown);
          return;
        }
        expect(repaired.shown).toBe(streamed.text);
        // A piece that goes on behind the stop word hides text that nobody names.
        const { stoppingWord } = streamed.end;
        if (textOf(streamed.sampled) !== streamed.text + stoppingWord) return;
        expect(repaired.ids).toEqual(streamed.sampled);
        expect(repaired.isExact).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('any ids at all: called exact only with every seen id in its place, and the text is theirs', async () => {
    const anyId = fc.integer({ min: 0, max: END - 1 }) as fc.Arbitrary<TokenId>;
    const pieceOrByte = fc.oneof(anyId, fc.constantFrom(...ids('🤖漢字é', 0xe6, 0xbc, 0xa2, 0xf0, 0x9f)));
    await fc.assert(
      fc.asyncProperty(fc.array(pieceOrByte, { maxLength: 12 }), stop, fc.boolean(), async (some, stops, ends) => {
        const streamed = stream([...some, ...(ends ? [END] : [])], stops);
        const repaired = await repair(streamed);
        if (!repaired.isExact) return;
        expect(repaired.ids).toHaveLength(streamed.sampled.length);
        for (const { ids: seen, predicted } of streamed.chunks) expect(repaired.ids[predicted - 1]).toBe(seen[0]);
        expect(textOf(repaired.ids)).toBe(textOf(streamed.sampled));
      }),
      { numRuns: 500 },
    );
  });
});

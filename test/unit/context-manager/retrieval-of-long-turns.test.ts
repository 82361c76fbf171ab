// Indexes more than can be indexed at a stretch: others have their turn in between, the segmenter is never given much at once, whose
// time grows with the square of it, and an index goes with its session, removed while it is made as well.
import { setImmediate as nextEvents } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import type { Mode } from '../../../src/context-manager/modes/mode.ts';
import type { NodeResources } from '../../../src/context-manager/node-resources.ts';
import { INDEXED_CHARS_MAX, TurnIndex } from '../../../src/context-manager/retrieval/turn-index.ts';
import { TurnIndexes } from '../../../src/context-manager/retrieval/turn-indexes.ts';
import { wordsOf } from '../../../src/context-manager/retrieval/words.ts';
import type { CachedSession } from '../../../src/context-manager/sessions/session-cache.ts';
import type { ContextId, SessionKey } from '../../../src/domain/identifiers.ts';
import type { StoredMode } from '../../../src/domain/record/turn-record.ts';
import type { Turn } from '../../../src/domain/session/session-history.ts';

afterEach(() => vi.restoreAllMocks());

const session = { key: { keygroup: '0'.repeat(16), userId: 'ada', sessionId: 's' } } as unknown as CachedSession;
const turnOf = (at: number) =>
  ({ hash: `${at}`, record: { turn: at + 1, payload: { mode: 'raw' } } }) as unknown as Turn;

/** Each turn's text is made when it is read, as texts of raw sessions are: nothing is waited for. */
function indexesOf(textOf: (turn: Turn) => string) {
  const removed: Array<(key: SessionKey) => void> = [];
  const read = async (turn: Turn) => ({
    messages: [{ role: 'user', content: textOf(turn) }],
    ...{ reply: 'noted', parts: [] },
  });
  const node = { records: { onRemoved: (listener: (key: SessionKey) => void) => removed.push(listener) } };
  const indexes = new TurnIndexes({
    node: node as unknown as NodeResources,
    modes: { raw: { read } } as unknown as Readonly<Record<StoredMode, Mode>>,
  });
  const remove = () => {
    for (const listener of removed) listener(session.key);
  };
  return { indexes, remove };
}

it.each([
  ['long turns', 12, INDEXED_CHARS_MAX * 3, 12],
  ['short turns', 63, INDEXED_CHARS_MAX / 4, 15],
])('between %s whoever else waits has a turn', async (_, turns, chars, pauses) => {
  const { indexes } = indexesOf(() => 'some words '.repeat(chars / 11));
  let events = 0;
  let isDone = false;
  const others = (async () => {
    for (; !isDone; events++) await nextEvents();
  })();
  await indexes.of(
    session,
    Array.from({ length: turns }, (_turn, at) => turnOf(at)),
  );
  isDone = true;
  await others;
  expect(events).toBeGreaterThanOrEqual(pauses);
});

it('the segmenter is given little at once, and no more of a turn than is searched, in whatever script', () => {
  const segment = vi.spyOn(Intl.Segmenter.prototype, 'segment');
  for (const text of ['word ', '猫', 'ﷺ', 'x', 'line\n']) {
    segment.mockClear();
    wordsOf(text.repeat(100_000), INDEXED_CHARS_MAX);
    const lengths = segment.mock.calls.map(([{ length }]) => length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(512);
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(INDEXED_CHARS_MAX);
  }
});

it('pieces lose no word and cut none where there are spaces', () => {
  const words = Array.from({ length: 700 }, (_, at) => `word${at}`);
  for (const space of [' ', '\n', ' – ']) expect(wordsOf(words.join(space), INDEXED_CHARS_MAX)).toEqual(words);
});

it('a long turn is found by its beginning, and brought back whole', async () => {
  const index = await TurnIndex.create();
  const text = `Whiskers ${'x '.repeat(INDEXED_CHARS_MAX / 2)} Zanzibar`;
  index.add({ turn: turnOf(1), text });
  const all = new Set(['1' as ContextId]);
  expect(index.best('whiskers', all).map((found) => found.text)).toEqual([text]);
  expect(index.best('Zanzibar', all)).toEqual([]);
});

it('two that need an index at once make one, which is not kept where its session was removed meanwhile', async () => {
  let reads = 0;
  const { indexes, remove } = indexesOf(() => {
    reads++;
    return 'some words';
  });
  const turns = [turnOf(1)];
  const [one, other] = await Promise.all([indexes.of(session, turns), indexes.of(session, turns)]);
  expect(one).toBe(other);
  expect(await indexes.of(session, turns)).toBe(one);
  const before = reads;
  const making = indexes.of(session, [...turns, turnOf(2)]);
  remove();
  await making;
  await indexes.of(session, turns);
  expect(reads - before).toBe(2);
});

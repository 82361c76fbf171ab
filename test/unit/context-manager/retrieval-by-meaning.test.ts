// Turns that share no word with a message are found by their vectors; and whatever the one that makes them does (fails, hangs, answers
// nonsense), the turn is answered, by words, and says so.
import { describe, expect, it } from 'vitest';
import { MeaningSearch } from '../../../src/context-manager/retrieval/meaning-search.ts';
import { fusedRanks } from '../../../src/context-manager/retrieval/ranks.ts';
import { TurnIndex } from '../../../src/context-manager/retrieval/turn-index.ts';
import { TurnVectors } from '../../../src/context-manager/retrieval/turn-vectors.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { ContextId } from '../../../src/domain/identifiers.ts';
import type { Turn } from '../../../src/domain/session/session-history.ts';
import type { Embeddings } from '../../../src/llm-service/llm-service.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { contextManagerRig, type Rig } from '../../support/context-manager-rig.ts';
import { Hold } from '../../support/hold.ts';

const REPLY = 40;
const retrieve = { overflow: 'retrieve' as const, maxTokens: REPLY };
const setting = {
  scripted: { contextTokens: 1200, reply: () => 'noted' },
  options: { replyTokensDefault: REPLY },
};
const FILLER = 'some words about nothing much that take their place ';

/** Subjects that this one tells apart, by words of theirs. */
const SUBJECTS = [/whiskers|pet/i, /zimmer|hotel/i, /words/];
const vectorOf = (text: string) => [...SUBJECTS.map((words) => (words.test(text) ? 1 : 0)), 0.1];

type Answer = (texts: readonly string[], signal: AbortSignal) => Promise<Embeddings> | Embeddings;

/** Answers as told, and by subjects where nothing is told. */
class ProbedEmbedder {
  readonly asked: string[][] = [];
  next: Answer | undefined;

  async embed(inputs: readonly (string | readonly number[])[], signal: AbortSignal): Promise<Embeddings> {
    const texts = inputs as readonly string[];
    this.asked.push([...texts]);
    const answer = this.next ?? bySubjects;
    this.next = undefined;
    return answer(texts, signal);
  }
}
const bySubjects: Answer = (texts) => ({ vectors: texts.map(vectorOf), promptTokens: 1 });

const filled = async (rig: Rig, to = 8) => {
  await rig.turn({ session: 's', turn: 1, text: 'Whiskers likes tuna', ...retrieve });
  await rig.turn({ session: 's', turn: 2, text: 'Das Zimmer kostet 80 Franken', ...retrieve });
  for (let turn = 3; turn <= to; turn++) await rig.turn({ session: 's', turn, text: FILLER.repeat(3), ...retrieve });
};
const rigWith = async () => {
  const embedder = new ProbedEmbedder();
  return { embedder, rig: await contextManagerRig({ ...setting, embedder }) };
};
const PET = { session: 's', turn: 9, text: 'Which food does my pet eat?', ...retrieve };

describe('retrieve with an embedder', () => {
  it('finds what shares no word with the message, and says how, also of a replay', async () => {
    const { rig } = await rigWith();
    await filled(rig);
    const found = { retrievedTurns: [1], retrievedBy: 'words_and_embeddings' };
    expect(await rig.turn(PET)).toMatchObject(found);
    rig.restart();
    expect(await rig.turn(PET)).toMatchObject({ replayed: true, ...found });
    const bare = await contextManagerRig(setting);
    await filled(bare);
    expect((await bare.turn(PET)).retrievedTurns).toBeUndefined();
  });

  it('asks once for a turn, for few short texts, and for none again', async () => {
    const { rig, embedder } = await rigWith();
    const long = `${FILLER.repeat(5)}é${FILLER.repeat(5)}`;
    for (let turn = 1; turn <= 60; turn++) {
      const before = embedder.asked.length;
      // The numbers tell the turns apart.
      await rig.turn({ session: 's', turn, text: turn % 3 === 0 ? `${turn} ${long}` : `${turn}`, ...retrieve });
      expect(embedder.asked.length - before).toBeLessThanOrEqual(1);
    }
    for (const texts of embedder.asked) {
      expect(texts.length).toBeLessThanOrEqual(17);
      for (const text of texts) expect(Buffer.byteLength(text)).toBeLessThanOrEqual(500);
    }
    const turns = embedder.asked.flatMap(([, ...texts]) => texts);
    expect(turns.length).toBeGreaterThan(20);
    expect(new Set(turns).size).toBe(turns.length);
  });

  it.each<[string, Answer]>([
    ['a server that makes none', failing('unsupported_parameter')],
    ['a refusal', failing('invalid_request')],
    ['silence', failing('llm_timeout')],
    ['what is no vector', (texts) => ({ vectors: texts.map(() => [Number.NaN, 1]), promptTokens: 1 })],
    ['vectors of no length', (texts) => ({ vectors: texts.map(() => [0, 0]), promptTokens: 1 })],
    [
      'vectors of different dimensions',
      (texts) => ({ vectors: texts.map((_, at) => Array(at + 2).fill(1)), promptTokens: 1 }),
    ],
    ['too few', () => ({ vectors: [], promptTokens: 1 })],
  ])('answers by words after %s', async (_, answer) => {
    const { rig, embedder } = await rigWith();
    await filled(rig);
    embedder.next = answer;
    const asked = embedder.asked.length;
    expect(await rig.turn({ ...PET, text: 'whiskers' })).toMatchObject({ retrievedTurns: [1], retrievedBy: 'words' });
    expect(embedder.asked.length).toBe(asked + 1);
  });

  it('leaves one that has failed alone for a while', async () => {
    const { rig, embedder } = await rigWith();
    await filled(rig);
    embedder.next = failing('llm_unavailable');
    await rig.turn(PET);
    const asked = embedder.asked.length;
    await rig.turn({ ...PET, turn: 10 });
    expect(embedder.asked.length).toBe(asked);
    expect(rig.environment.logLines.filter(({ event }) => event === 'retrieval_by_words')).toHaveLength(1);
    await rig.environment.advance(30_000);
    expect(await rig.turn({ ...PET, turn: 11 })).toMatchObject({ retrievedBy: 'words_and_embeddings' });
  });

  it('is not waited for long, and what it says late serves later turns', async () => {
    const { rig, embedder } = await rigWith();
    // Nothing has been left out yet, so nothing has been asked.
    await filled(rig, 3);
    expect(embedder.asked).toEqual([]);
    const hold = new Hold();
    const slow: Answer = async (texts, signal) => {
      await hold.pass(signal);
      return bySubjects(texts, signal);
    };
    for (let turn = 4; embedder.asked.length === 0; turn++) {
      embedder.next = slow;
      const taking = rig.turn({ ...PET, turn, text: FILLER.repeat(3) });
      await rig.settled();
      if (embedder.asked.length > 0) {
        await rig.environment.advance(1_000);
        expect((await taking).droppedTurns).toBeGreaterThan(0);
        hold.release();
        await rig.settled();
        expect(await rig.turn({ ...PET, turn: turn + 1 })).toMatchObject({ retrievedTurns: [1] });
      }
      await taking;
    }
    const [first, second] = embedder.asked;
    expect(first?.slice(1).some((text) => text.includes('Whiskers'))).toBe(true);
    expect(second?.slice(1).some((text) => text.includes('Whiskers'))).toBe(false);
  });
});

function failing(code: 'unsupported_parameter' | 'invalid_request' | 'llm_timeout' | 'llm_unavailable'): Answer {
  return () => {
    throw new DiscedgeError(code, 'as told');
  };
}

it('of many turns the newest are asked for, a few with each message', async () => {
  const index = await TurnIndex.create();
  const turns = Array.from({ length: 40 }, (_, at) => ({
    turn: { hash: `${at}`, record: { turn: at + 1 } } as unknown as Turn,
    text: `text ${at}`,
  }));
  for (const turn of turns) index.add(turn);
  const embedder = new ProbedEmbedder();
  const search = new MeaningSearch(embedder, virtualEnvironment());
  for (let message = 1; message <= 4; message++) await search.nearest(index, `message ${message}`, turns);
  const texts = (from: number, to: number) => turns.slice(from, to).map(({ text }) => text);
  expect(embedder.asked).toEqual([
    ['message 1', ...texts(24, 40)],
    ['message 2', ...texts(8, 24)],
    ['message 3', ...texts(0, 8)],
    ['message 4'],
  ]);
});

describe('vectors', () => {
  const id = (name: string) => name as ContextId;
  const all = new Set(['a', 'b', 'c', 'd'].map(id));

  it('are compared by their direction, and only what stands out is near', () => {
    const vectors = new TurnVectors();
    vectors.add(id('a'), [100, 1]);
    vectors.add(id('b'), [2, 1]);
    vectors.add(id('c'), [0, 0.01]);
    vectors.add(id('d'), [0, 9]);
    expect(vectors.nearest([2, 0], all)).toEqual(['a', 'b']);
    expect(vectors.nearest([0, 3], new Set([id('a'), id('d')]))).toEqual(['d']);
    expect(vectors.nearest([0, 3], new Set([id('c'), id('d')]))).toEqual([]);
    expect(vectors.nearest([1, 0, 0], all)).toBeUndefined();
    expect(vectors.nearest([Number.NaN, 1], all)).toBeUndefined();
    vectors.add(id('e'), [Number.POSITIVE_INFINITY, 1]);
    expect(vectors.has(id('e'))).toBe(false);
  });

  it('of another model push out those before them, and they take a bounded room', () => {
    const vectors = new TurnVectors();
    vectors.add(id('a'), [1, 0]);
    vectors.add(id('b'), [1, 0, 0]);
    expect([vectors.has(id('a')), vectors.has(id('b'))]).toEqual([false, true]);
    for (let turn = 0; turn < 1_200; turn++) vectors.add(id(`${turn}`), Array(1_024).fill(1));
    expect(vectors.bytes).toBe(4 * 1024 * 1024);
    expect([vectors.has(id('0')), vectors.has(id('1199'))]).toEqual([false, true]);
  });
});

it('what stands in two rankings comes before what is first in one', () => {
  expect(
    fusedRanks([
      ['x', 'y'],
      ['z', 'y'],
    ]),
  ).toEqual(['y', 'x', 'z']);
});

// Tries to make two nodes disagree: the same tree of turns, with branches, in every order of arrival, with repeats, with
// turns missing and with parents that do not fit, must give the same main line, tips and answers.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ContextId, RequestDigest, TurnNumber } from '../../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { SessionHistory } from '../../../src/domain/session/session-history.ts';
import { sealedLine, sealedTombstone, sealedTurn } from '../../../tools/turn-records.ts';

/** A random tree: each turn continues one before it in the list, or opens the session. */
const trees = fc
  .array(fc.record({ after: fc.nat(), expiresAtMs: fc.nat(1_000) }), { minLength: 1, maxLength: 25, size: 'max' })
  .map((nodes) => {
    const turns: SealedRecord[] = [];
    for (const [variant, { after, expiresAtMs }] of nodes.entries()) {
      const parent = after % 5 === 0 ? undefined : turns[after % Math.max(1, turns.length)];
      turns.push(sealedTurn({ parent, variant, expiresAtMs }));
    }
    return turns;
  });

/** A tree, and the same turns in another order. */
const arrivals = trees.chain((turns) =>
  fc.record({
    turns: fc.constant(turns),
    shuffled: fc.shuffledSubarray(turns, { minLength: turns.length }),
    repeats: fc.array(fc.nat(turns.length - 1), { maxLength: 5 }),
  }),
);

function historyOf(turns: readonly SealedRecord[]): SessionHistory {
  const history = new SessionHistory();
  for (const sealed of turns) history.add(sealed);
  return history;
}

const turnOf = ({ record }: SealedRecord) => (record.kind === 'turn' ? record.turn : 0);
const parentOf = ({ record }: SealedRecord) => (record.kind === 'turn' ? record.parent : undefined);

/** Everything a history answers. */
function facts(history: SessionHistory, turns: readonly SealedRecord[]) {
  return {
    size: history.size,
    mode: history.mode,
    expiresAtMs: history.expiresAtMs,
    tip: history.tip?.hash,
    tips: history.tips().map((turn) => turn.hash),
    line: history.line().map((turn) => turn.hash),
    lines: history.tips().map((tip) => history.line(tip).map((turn) => turn.hash)),
    known: turns.map(({ hash }) => [history.get(hash)?.hash, history.hasChild(hash)]),
    answers: turns.map(({ record }) =>
      history
        .answering((record.kind === 'turn' ? record.requestDigest : '') as RequestDigest)
        .map((turn) => turn.hash)
        .sort(),
    ),
    mainLine: Array.from({ length: 27 }, (_, n) => history.onMainLine(n as TurnNumber)?.hash),
  };
}

describe('a history', () => {
  test('is the same in whatever order its turns arrive, repeats included', () => {
    fc.assert(
      fc.property(arrivals, ({ turns, shuffled, repeats }) => {
        const again = repeats.map((index) => turns[index] as SealedRecord);
        expect(facts(historyOf([...shuffled, ...again]), turns)).toEqual(facts(historyOf(turns), turns));
      }),
      { numRuns: 300 },
    );
  });

  test('has as its main line the deepest branch, and of equally deep ones the smallest hash', () => {
    fc.assert(
      fc.property(arrivals, ({ turns, shuffled }) => {
        const history = historyOf(shuffled);
        const depth = Math.max(...turns.map(turnOf));
        const deepest = turns.filter((sealed) => turnOf(sealed) === depth).map((sealed) => sealed.hash);
        expect(history.tip?.hash).toBe(deepest.sort()[0]);
        expect(history.tips()[0]?.hash).toBe(history.tip?.hash);
        expect(history.line().map((turn) => turn.record.turn)).toEqual(Array.from({ length: depth }, (_, i) => i + 1));
        for (const [i, turn] of history.line().entries())
          expect(turn.record.parent).toBe(i === 0 ? undefined : history.line()[i - 1]?.hash);
      }),
    );
  });

  test('holds back every turn that does not reach back to turn 1, and only those', () => {
    fc.assert(
      fc.property(arrivals, fc.nat(), ({ turns, shuffled }, nth) => {
        const missing = turns[nth % turns.length] as SealedRecord;
        const history = historyOf(shuffled.filter((sealed) => sealed !== missing));
        const lost = new Set<ContextId>([missing.hash]);
        for (const sealed of turns) {
          const parent = parentOf(sealed);
          if (parent !== undefined && lost.has(parent)) lost.add(sealed.hash);
        }
        for (const { hash } of turns) expect(history.get(hash) === undefined).toBe(lost.has(hash));
        expect(history.size).toBe(turns.length - lost.size);
        history.add(missing);
        expect(facts(history, turns)).toEqual(facts(historyOf(turns), turns));
      }),
      { numRuns: 300 },
    );
  });

  test('takes each turn once, linked or waiting', () => {
    const [first, second, third] = sealedLine(3) as [SealedRecord, SealedRecord, SealedRecord];
    const history = new SessionHistory();
    expect([history.add(third), history.add(third)]).toEqual([true, false]);
    expect([history.add(first), history.add(first)]).toEqual([true, false]);
    expect(history.size).toBe(1);
    expect([history.add(second), history.add(second), history.add(third)]).toEqual([true, false, false]);
    expect(history.size).toBe(3);
  });

  test('never links a turn to a parent of another depth, whichever comes first', () => {
    const [first, second] = sealedLine(2) as [SealedRecord, SealedRecord];
    const misfit = sealedTurn({ parent: first, turn: 5 });
    for (const order of [
      [first, second, misfit],
      [misfit, first, second],
    ]) {
      const history = historyOf(order);
      expect(history.get(misfit.hash)).toBeUndefined();
      expect(history.size).toBe(2);
      expect(history.tip?.hash).toBe(second.hash);
    }
  });

  test('lives as long as the latest expiry of any turn, one that waits included', () => {
    const [first, second] = sealedLine(2, { expiresAtMs: 10 }) as [SealedRecord, SealedRecord];
    const waiting = sealedTurn({ parent: second, expiresAtMs: 99 });
    expect(historyOf([first]).expiresAtMs).toBe(10);
    expect(historyOf([first, waiting]).expiresAtMs).toBe(99);
  });

  test('refuses a tombstone', () => {
    expect(() => new SessionHistory().add(sealedTombstone())).toThrow(TypeError);
  });

  test('takes a long line backwards without running out of stack', () => {
    const line = sealedLine(20_000);
    const history = historyOf([...line].reverse());
    expect(history.size).toBe(20_000);
    expect(history.tip?.hash).toBe(line.at(-1)?.hash);
  });

  test('of nothing has no tip, line or mode', () => {
    const history = new SessionHistory();
    expect([history.size, history.tip, history.mode, history.expiresAtMs]).toEqual([0, undefined, undefined, 0]);
    expect([history.line(), history.tips(), history.onMainLine(1 as TurnNumber)]).toEqual([[], [], undefined]);
  });
});

// Uses a session id again after its session has expired, while records of the session before are still there or on their
// way, in every order. All nodes must agree on which turns are over, nothing over may be read, and nothing alive be lost.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RequestDigest, TurnNumber } from '../../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { SessionHistory } from '../../../src/domain/session/session-history.ts';
import { sealedTurn, WRITTEN_AT_MS } from '../../../tools/turn-records.ts';

const MINUTE_MS = 60_000;
/** How much longer than its records name a session lives. */
const GRACE_MINUTES = 10;

function turn(parent: SealedRecord | undefined, writtenMinute: number, lifeMinutes: number, variant = writtenMinute) {
  const writtenAtMs = WRITTEN_AT_MS + writtenMinute * MINUTE_MS;
  return sealedTurn({ parent, variant, writtenAtMs, expiresAtMs: writtenAtMs + lifeMinutes * MINUTE_MS });
}

function historyOf(records: readonly SealedRecord[]): SessionHistory {
  const history = new SessionHistory();
  for (const sealed of records) history.add(sealed);
  return history;
}

const digestOf = ({ record }: SealedRecord) => (record as { requestDigest: RequestDigest }).requestDigest;
const turnsOf = (history: SessionHistory) => history.line().map(({ hash }) => hash);

describe('a session whose id is used again', () => {
  const one = turn(undefined, 0, 30);
  const two = turn(one, 10, 30);
  const again = turn(undefined, 40 + GRACE_MINUTES, 30);

  it('has nothing of the one before, in whatever order they come', () => {
    for (const order of [
      [one, two, again],
      [again, two, one],
      [two, again, one],
    ]) {
      const history = historyOf(order);
      expect(turnsOf(history)).toEqual([again.hash]);
      expect(history.size).toBe(1);
      expect(history.tips().map(({ hash }) => hash)).toEqual([again.hash]);
      expect([history.get(one.hash), history.get(two.hash)]).toEqual([undefined, undefined]);
      expect(history.answering(digestOf(one))).toEqual([]);
      expect(history.onMainLine(2 as TurnNumber)).toBeUndefined();
    }
  });

  it('a moment earlier: two branches, of which none is lost', () => {
    const sooner = turn(undefined, 39 + GRACE_MINUTES, 30);
    const history = historyOf([one, two, sooner]);
    expect(turnsOf(history)).toEqual([one.hash, two.hash]);
    expect(history.tips()).toHaveLength(2);
  });

  it('a turn that arrives late and had prolonged the one before brings it back', () => {
    const history = historyOf([one, two, again]);
    const three = turn(two, 35, 60);
    history.add(three);
    expect(turnsOf(history)).toEqual([one.hash, two.hash, three.hash]);
    expect(history.tips().map(({ hash }) => hash)).toEqual([three.hash, again.hash]);
  });

  it('again and again, has the last one only', () => {
    const third = turn(undefined, 200, 30);
    const fourth = turn(third, 201, 30);
    expect(turnsOf(historyOf([fourth, one, again, two, third]))).toEqual([third.hash, fourth.hash]);
  });
});

it('opened twice at the same time it keeps both, however short their lives', () => {
  const left = turn(undefined, 0, 1, 1);
  const right = turn(undefined, 0, 1, 2);
  expect(historyOf([left, right]).tips()).toHaveLength(2);
});

it('every order of arrival gives the same session, and there always is one', () => {
  const records = fc
    .array(fc.record({ after: fc.nat(), minute: fc.nat(60), life: fc.integer({ min: 1, max: 60 }) }), {
      minLength: 1,
      maxLength: 14,
      size: 'max',
    })
    .map((picks) => {
      const made: SealedRecord[] = [];
      for (const [variant, { after, minute, life }] of picks.entries()) {
        const parent = after % 3 === 0 ? undefined : made[after % Math.max(1, made.length)];
        const before = parent === undefined ? 0 : (parent.record.writtenAtMs - WRITTEN_AT_MS) / MINUTE_MS;
        made.push(turn(parent, before + minute, life, variant));
      }
      return made;
    });
  const orders = records.chain((made) =>
    fc.record({
      made: fc.constant(made),
      shuffled: fc.shuffledSubarray(made, { minLength: made.length }),
      look: fc.nat(),
    }),
  );
  fc.assert(
    fc.property(orders, ({ made, shuffled, look }) => {
      const history = new SessionHistory();
      for (const [index, sealed] of shuffled.entries()) {
        history.add(sealed);
        if (index === look % shuffled.length) history.tips();
      }
      const expected = historyOf(made);
      expect(history.tip).toEqual(expected.tip);
      expect(history.tips()).toEqual(expected.tips());
      expect(history.size).toBe(expected.size);
      expect(history.tip).toBe(history.get(history.tips()[0]?.hash as never));
      expect(history.size).toBeGreaterThan(0);
    }),
  );
});

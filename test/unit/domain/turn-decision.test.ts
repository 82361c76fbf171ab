// Holds each way of saying where a turn goes on (a number, a context, the tip, an opening) against every state in which a
// replica may be, and expects what DESIGN §3 says: replay, go, wait, or refuse; never a stored turn answered again.
import { describe, expect, it } from 'vitest';
import type { ContextId, RequestDigest, TurnNumber } from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import type { StoredMode } from '../../../src/domain/record/turn-record.ts';
import type { Consistency } from '../../../src/domain/session/consistency.ts';
import { SessionHistory } from '../../../src/domain/session/session-history.ts';
import { decideTurn, type TipRepeat, type TurnPlace } from '../../../src/domain/session/turn-decision.ts';
import { turnRecord } from '../../../tools/turn-records.ts';

/** A request for which `digest(turn)` is stored where it was answered as that turn, or at the tip. */
const digest = (words: string, turn: number | 'tip') =>
  Buffer.from(`${words}/${turn}`.padEnd(8)).toString('hex', 0, 8) as RequestDigest;

const answer = (words: string, turn: number | 'tip', parent?: SealedRecord, variant = 0) =>
  sealRecord({ ...turnRecord({ parent, variant }), requestDigest: digest(words, turn) });

function decide(
  held: readonly SealedRecord[],
  place: TurnPlace,
  words = 'x',
  { mode, consistency = 'strong' }: { mode?: StoredMode; consistency?: Consistency } = {},
) {
  const history = new SessionHistory();
  for (const sealed of held) history.add(sealed);
  return decideTurn(history, { place, mode, consistency, digestAs: (turn) => digest(words, turn ?? 'tip') });
}

const turn = (number: number, contextId?: ContextId): TurnPlace => ({ turn: number as TurnNumber, contextId });
const tip = (repeat: TipRepeat): TurnPlace => ({ tip: repeat });
const hashOf = (decision: ReturnType<typeof decide>) =>
  decision.kind === 'replay' ? decision.turn.hash : 'base' in decision ? decision.base?.hash : undefined;

const one = answer('a', 1);
const two = answer('b', 2, one);
const three = answer('c', 3, two);
const line = [one, two, three];
/** Beside turn 2, answered elsewhere. */
const other = answer('d', 2, one, 1);

describe('a turn by its number', () => {
  it('goes on after the turn before it, and opens a session', () => {
    expect(decide([], turn(1))).toMatchObject({ kind: 'go', base: undefined, digest: digest('x', 1) });
    expect(decide(line, turn(4))).toMatchObject({ kind: 'go', base: { hash: three.hash }, digest: digest('x', 4) });
  });

  it('is replayed where it was answered, and only as that turn', () => {
    expect(hashOf(decide(line, turn(2), 'b'))).toBe(two.hash);
    expect(decide(line, turn(4), 'b')).toMatchObject({ kind: 'go' });
  });

  it('is not answered by what was stored for it from fewer turns, unless it accepts that', () => {
    const early = answer('e', 5, one);
    const third = answer('c', 3, early);
    const held = [one, early, third, answer('d', 4, third)];
    for (const context of [undefined, held[3]?.hash]) {
      expect(decide(held, turn(5, context), 'e')).toMatchObject({ kind: 'go', base: { hash: held[3]?.hash } });
    }
    expect(decide(held.slice(0, 3), turn(5), 'e')).toMatchObject({ kind: 'stale', base: { hash: third.hash } });
    expect(decide(held, turn(5, one.hash), 'e')).toEqual({ kind: 'mismatch', turn: 5, found: 1 });
    expect(hashOf(decide(held, turn(5), 'e', { consistency: 'available' }))).toBe(early.hash);
  });

  it('conflicts with another request', () => {
    expect(decide(line, turn(3), 'x')).toEqual({ kind: 'conflict', turn: 3 });
  });

  it('is stale where the turn before it is missing', () => {
    expect(decide(line, turn(6))).toMatchObject({ kind: 'stale', turn: 6, base: { hash: three.hash } });
    expect(decide([], turn(2))).toMatchObject({ kind: 'stale', base: undefined });
  });

  it('goes on with the branch that it names, and conflicts where that has gone on', () => {
    expect(hashOf(decide([...line, other], turn(3, other.hash)))).toBe(other.hash);
    expect(decide(line, turn(3, two.hash))).toEqual({ kind: 'conflict', turn: 3 });
  });

  it('is a mismatch where the context named is not the turn before it', () => {
    expect(decide(line, turn(3, three.hash))).toEqual({ kind: 'mismatch', turn: 3, found: 3 });
  });

  it('waits for a branch that is not here; what answers it from another base does only where that is accepted', () => {
    const unknown = 'e'.repeat(32) as ContextId;
    expect(decide(line, turn(3, unknown), 'c')).toMatchObject({ kind: 'stale', base: { hash: two.hash } });
    expect(hashOf(decide(line, turn(3, unknown), 'c', { consistency: 'available' }))).toBe(three.hash);
    expect(decide(line, turn(3, unknown), 'x', { consistency: 'available' })).toMatchObject({ kind: 'stale' });
  });

  it('cannot be the first and go on after a context', () => {
    expect(decide(line, turn(1, one.hash))).toEqual({ kind: 'doubt', about: 'opening_after' });
  });

  it('in a mode that the session does not have is another request', () => {
    expect(decide(line, turn(3), 'c', { mode: 'tokenized' }).kind).toBe('replay');
    expect(decide(line, turn(3), 'c', { mode: 'raw' })).toEqual({ kind: 'conflict', turn: 3 });
  });
});

describe('the turn after a context', () => {
  it('has the number that follows', () => {
    expect(decide(line, { after: three.hash })).toMatchObject({ kind: 'go', digest: digest('x', 4) });
    expect(hashOf(decide(line, { after: one.hash }, 'b'))).toBe(two.hash);
    expect(decide(line, { after: one.hash }, 'x')).toEqual({ kind: 'conflict', turn: 2 });
  });

  it('is in doubt where that is not here: without a number there is nothing to wait for', () => {
    expect(decide([one], { after: two.hash })).toEqual({ kind: 'doubt', about: 'unknown_context' });
  });
});

describe('a request that opens a session', () => {
  it('opens it, or is its first turn again, or has to say which turn it is', () => {
    expect(decide([], { opens: true })).toMatchObject({ kind: 'go', base: undefined, digest: digest('x', 1) });
    expect(hashOf(decide(line, { opens: true }, 'a'))).toBe(one.hash);
    expect(decide(line, { opens: true }, 'b')).toEqual({ kind: 'doubt', about: 'turn_missing' });
  });
});

describe('a turn at the tip', () => {
  const yes = answer('yes', 'tip', three);

  it('goes on after whatever is last, and opens a session', () => {
    expect(decide([], tip('new'))).toMatchObject({ kind: 'go', base: undefined, digest: digest('x', 'tip') });
    expect(hashOf(decide(line, tip('new')))).toBe(three.hash);
    expect(hashOf(decide([...line, other], tip('new')))).toBe(three.hash);
  });

  it('said twice is two turns', () => {
    expect(decide([...line, yes], tip('new'), 'yes')).toMatchObject({ kind: 'go', base: { hash: yes.hash } });
  });

  it('sent again is the last turn where that answers it, and else a new one', () => {
    expect(decide([...line, yes], tip('repeated'), 'yes')).toMatchObject({ kind: 'replay', turn: { hash: yes.hash } });
    expect(decide(line, tip('repeated'), 'yes')).toMatchObject({ kind: 'go', base: { hash: three.hash } });
    const gone = [...line, yes, answer('no', 'tip', yes)];
    expect(decide(gone, tip('repeated'), 'yes')).toMatchObject({ kind: 'go' });
  });

  it('under a key of its own is found however far the session has gone on', () => {
    const gone = [...line, yes, answer('no', 'tip', yes)];
    expect(decide(gone, tip({ key: 'k' }), 'yes')).toMatchObject({ kind: 'replay', turn: { hash: yes.hash } });
    expect(decide(gone, tip({ key: 'k' }), 'maybe')).toMatchObject({ kind: 'go' });
  });
});

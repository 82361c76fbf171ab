// Tries to get another record out of the delta form than the one that went in: every kind of record, beside every kind of
// parent, with the wrong parent, with every bit flipped, with bytes that nobody wrote and with few bytes that claim a lot.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type DeltaParent,
  DeltaUnreadable,
  deltaBytes,
  openDelta,
} from '../../../src/context-store/replication/delta/delta-record.ts';
import type { SessionId, TurnNumber, UserId } from '../../../src/domain/identifiers.ts';
import type { Extensions } from '../../../src/domain/record/extensions.ts';
import { CorruptRecord, openRecord, type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { RECORD_FORMAT_VERSION } from '../../../src/domain/record/record-version.ts';
import { replyEndExtension } from '../../../src/domain/record/reply-end.ts';
import type { TurnRecord } from '../../../src/domain/record/turn-record.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { sealedTombstone, sealedTurn, structured, turnRecord } from '../../../tools/turn-records.ts';
import { sessionRecords, turnRecords } from '../../support/arbitrary-records.ts';

const replyEnd = { extensions: replyEndExtension({ hidden: 3, instead: [7 as TokenId] }) as Extensions };
const none = () => undefined;
const logOf = ({ record: { keygroup, origin, incarnation } }: SealedRecord) => ({ keygroup, origin, incarnation });
/** A log whose record so many before is the parent. */
const where = (parent: DeltaParent) => (distance: number) => (distance === parent.distance ? parent.sealed : undefined);

function opened(bytes: Uint8Array, sealed: SealedRecord, parent?: DeltaParent): SealedRecord {
  return openDelta(bytes, logOf(sealed), parent === undefined ? none : where(parent));
}

/** A parent and its child, alike in some fields. */
const families = fc
  .record({
    parent: turnRecords,
    child: turnRecords,
    alike: fc.nat(255),
    distance: fc.integer({ min: 1, max: 2 ** 40 }),
  })
  .map(({ parent: drawn, child, alike, distance }) => {
    const turn = Math.min(drawn.turn, 0xffff_fffe) as TurnNumber;
    const contextStart = Math.min(drawn.contextStart, turn) as TurnNumber;
    const parent = sealRecord({ ...drawn, turn, contextStart });
    const before = parent.record as TurnRecord;
    const takes = (bit: number) => (alike & bit) !== 0;
    const frame = takes(64) && before.payload.mode === 'tokenized' && child.payload.mode === 'tokenized';
    const record: TurnRecord = {
      ...child,
      keygroup: before.keygroup,
      origin: before.origin,
      incarnation: before.incarnation,
      userId: before.userId,
      sessionId: before.sessionId,
      turn: (before.turn + 1) as TurnNumber,
      parent: parent.hash,
      writtenAtMs: takes(1) ? Math.min(before.writtenAtMs + 1_500, 2 ** 52) : child.writtenAtMs,
      contextStart: takes(4) ? before.contextStart : (1 as TurnNumber),
      sampling: takes(8) ? before.sampling : child.sampling,
      stop: takes(16) ? before.stop : child.stop,
      payload: frame ? { ...before.payload } : child.payload,
    };
    const lifetimeMs = takes(2) ? before.expiresAtMs - before.writtenAtMs : 3_600_000;
    const expiresAtMs = record.writtenAtMs + lifetimeMs;
    const isWritable = expiresAtMs >= 0 && Number.isSafeInteger(expiresAtMs);
    const sealed = sealRecord({ ...record, expiresAtMs: isWritable ? expiresAtMs : record.writtenAtMs });
    return { sealed, parent: { distance, sealed: parent } };
  });

test('reasoning and a stop word add a few bytes to a turn, beside their ids', () => {
  const parent = sealedTurn({ replyTokens: 400 });
  const plain = turnRecord({ parent, replyTokens: 400 });
  if (plain.payload.mode !== 'tokenized') throw new TypeError('not a tokenized turn');
  const marks = [{ segment: 'reply', start: 0, length: 300, part: { type: 'thinking' } }] as const;
  const reasoned = { ...plain, payload: { ...plain.payload, marks } };
  const stopped = { ...plain, ...replyEnd };
  const sizeOf = (record: TurnRecord) => deltaBytes(sealRecord(record), { distance: 1, sealed: parent }).length;
  expect(sizeOf(reasoned) - sizeOf(plain)).toBeLessThanOrEqual(8);
  expect(sizeOf(stopped) - sizeOf(plain)).toBeLessThanOrEqual(28);
});

describe('the delta form of a record', () => {
  test('gives back the record, its bytes and its hash', () => {
    let delta = 0;
    fc.assert(
      fc.property(sessionRecords, (record) => {
        const sealed = sealRecord(record);
        const bytes = deltaBytes(sealed);
        expect(bytes.length).toBeLessThanOrEqual(sealed.bytes.length);
        if (bytes !== sealed.bytes) delta++;
        expectSame(opened(bytes, sealed), sealed);
      }),
      { numRuns: 500 },
    );
    expect(delta).toBeGreaterThan(150);
  });

  test('gives them back beside the parent, whatever it shares with it', () => {
    let leaning = 0;
    fc.assert(
      fc.property(families, ({ sealed, parent }) => {
        const bytes = deltaBytes(sealed, parent);
        if (leansOn(bytes, sealed)) leaning++;
        expectSame(opened(bytes, sealed, parent), sealed);
      }),
      { numRuns: 800 },
    );
    expect(leaning).toBeGreaterThan(400);
  });

  test('does not say what stream and parent say', () => {
    const [one, two, three] = chat();
    const first = deltaBytes(one);
    const third = deltaBytes(three, { distance: 1, sealed: two });
    for (const text of ['node-1', '3c9e5a70-1f2b-4d6c-8e9f-0a1b2c3d4e5f', 'anonymous'])
      for (const bytes of [first, third]) expect(Buffer.from(bytes).includes(text), text).toBe(false);
    // Form, shape, sameness, distance, elapsed time, digest, checksum, two lengths; then the ids.
    expect(third.length).toBeLessThanOrEqual(1 + 1 + 1 + 1 + 2 + 8 + 4 + 2 + 8);
  });

  test('keeps its bytes from version to version', () => {
    // They lie in the streams of nodes that are away.
    const [one, two, three] = chat();
    expect(hex(deltaBytes(one))).toBe(
      '8114173c9e5a701f2b4d6c8e9f0a1b2c3d4e5f01dcdbeab6b733000000000000000005000000000000000040b5f2c660010101010204040026bb68d2281bbe59fb',
    );
    expect(hex(deltaBytes(three, { distance: 2, sealed: two }))).toBe(
      '81023f02dc0b000000000000000071b22c4304040000be5db72498',
    );
    expect(hex(deltaBytes(sealedTombstone()))).toBe('810104757365720773657373696f6e80d0eab6b7338095f52a5e9a46b9');
  });

  test('keeps its bytes for a record of version 2', () => {
    const [one, two, three] = chat();
    expect(hex(deltaBytes(sealRecord(structured(one))))).toBe(
      '8214173c9e5a701f2b4d6c8e9f0a1b2c3d4e5f01dcdbeab6b73300000000000000000500000000000000004078be4521020c61636d652e62696c6c696e67097465616d20626c75650a61636d652e7472616365030700ff0300010201c0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0de09696d6167652f706e67f0a20401000103010103040663616c6c2d3107776561746865720d7b226174223a2268657265227d010101010204040026bb68d2281bbe59fb',
    );
    expect(hex(deltaBytes(sealRecord(structured(three)), { distance: 2, sealed: two }))).toBe(
      '82023f02dc0b0000000000000000b9b40328020c61636d652e62696c6c696e67097465616d20626c75650a61636d652e7472616365030700ff0300010201c0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0de09696d6167652f706e67f0a20401000103010103040663616c6c2d3107776561746865720d7b226174223a2268657265227d04040000be5db72498',
    );
  });

  test('leaves a parent aside that is another', () => {
    const [one, two, three] = chat();
    for (const sealed of [one, sealedTurn(), sealedTombstone()]) {
      const bytes = deltaBytes(three, { distance: 1, sealed });
      expect(leansOn(bytes, three)).toBe(false);
    }
    const stranger = sealRecord({ ...(three.record as TurnRecord), userId: 'eve' as UserId });
    expect(leansOn(deltaBytes(stranger, { distance: 1, sealed: two }), stranger)).toBe(false);
  });

  test.each([
    ['that expires before it was written', { ...turnRecord(), expiresAtMs: 0 }],
    ['with more ids than a message may hold', withReply(Array.from({ length: 70_000 }, (_, i) => i % 150_000))],
    ['that says the same over and over', withReply(new Array(40_000).fill(7))],
  ])('is the record itself for one %s', (_, record) => {
    const sealed = sealRecord(record as TurnRecord);
    expect(deltaBytes(sealed)).toBe(sealed.bytes);
  });

  test.each(['0123456789abcdef0123456789abcdef', '01234567-89ab-cdef-0123-456789abcdef'])(
    'holds the session id %s in 16 bytes',
    (sessionId) => {
      const withId = (id: string) => deltaBytes(sealRecord({ ...turnRecord(), sessionId: id as SessionId })).length;
      expect(withId(sessionId)).toBe(withId('x') + 14);
      expect(withId(sessionId.toUpperCase())).toBeGreaterThan(withId(sessionId));
    },
  );
});

describe('a delta record that leans on another', () => {
  const [, two, three] = chat();
  const bytes = deltaBytes(three, { distance: 1, sealed: two });

  test.each([
    ['is not here', none],
    ['is another turn', () => sealedTurn()],
    ['is no turn', () => sealedTombstone()],
    ['is the same turn of another history', () => sealRecord({ ...(two.record as TurnRecord), writtenAtMs: 9 })],
  ])('has to be had whole when its parent %s', (_, turnAt) => {
    expect(() => openDelta(bytes, logOf(three), turnAt)).toThrow(DeltaUnreadable);
  });

  test('has to be had whole when it is of another log', () => {
    const log = { ...logOf(three), incarnation: 'ffffffff' as typeof three.record.incarnation };
    expect(() => openDelta(bytes, log, () => two)).toThrow(DeltaUnreadable);
  });
});

describe('damaged or forged bytes', () => {
  const samples = () => {
    const [one, two, three] = chat();
    const parent = { distance: 1, sealed: two };
    return [
      { sealed: one, parent: undefined, bytes: deltaBytes(one) },
      { sealed: three, parent, bytes: deltaBytes(three, parent) },
      { sealed: sealedTombstone(), parent: undefined, bytes: deltaBytes(sealedTombstone()) },
      { sealed: sealRecord(structured(three)), parent, bytes: deltaBytes(sealRecord(structured(three)), parent) },
    ];
  };

  test('are no other record, whichever bit is flipped and wherever they are cut', () => {
    for (const { sealed, parent, bytes } of samples()) {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = Uint8Array.from(bytes);
        damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
        expectNothingElse(damaged, sealed, parent);
      }
      for (let length = 0; length < bytes.length; length++)
        expectNothingElse(bytes.subarray(0, length), sealed, parent);
    }
  });

  test('are no other record, whatever they are', () => {
    const shapes = fc.record({
      sample: fc.nat(3),
      keep: fc.nat(40),
      rest: fc.uint8Array({ maxLength: 80 }),
    });
    fc.assert(
      fc.property(shapes, ({ sample, keep, rest }) => {
        const { sealed, parent, bytes } = samples()[sample] as ReturnType<typeof samples>[number];
        const forged = Buffer.concat([bytes.subarray(0, keep), rest]);
        fc.pre(!forged.equals(bytes));
        expectNothingElse(forged, sealed, parent);
      }),
      { numRuns: 3_000 },
    );
  });

  test('of few bytes do not become a long sequence', () => {
    const [one] = chat();
    const bytes = Buffer.from(deltaBytes(one));
    const promptLength = bytes.lastIndexOf(Buffer.of(4, 4));
    for (const length of [Buffer.of(0xff, 0xff, 3), Buffer.of(0xff, 0xff, 0xff, 0xff, 7)]) {
      const forged = Buffer.concat([bytes.subarray(0, promptLength), length, bytes.subarray(promptLength + 1)]);
      expectNothingElse(forged, one, undefined);
    }
  });

  test('of a version that this build does not read have to be had whole', () => {
    const [one] = chat();
    for (let version = RECORD_FORMAT_VERSION + 1; version < 0x80; version++) {
      const newer = Uint8Array.from(deltaBytes(one));
      newer[0] = 0x80 + version;
      expect(() => opened(newer, one), `version ${version}`).toThrow(DeltaUnreadable);
    }
  });
});

/** Three turns of one session, as a chat client makes them. */
function chat(): [SealedRecord, SealedRecord, SealedRecord] {
  const key = {
    ...turnRecord(),
    userId: 'anonymous' as UserId,
    sessionId: '3c9e5a70-1f2b-4d6c-8e9f-0a1b2c3d4e5f' as SessionId,
  };
  const turn = (parent: SealedRecord | undefined) => {
    const record = turnRecord({ key, parent });
    return sealRecord({
      ...record,
      writtenAtMs: record.writtenAtMs + record.turn * 1_500,
      expiresAtMs: record.expiresAtMs + record.turn * 1_500,
    });
  };
  const one = turn(undefined);
  const two = turn(one);
  return [one, two, turn(two)];
}

function withReply(ids: number[]): TurnRecord {
  const record = turnRecord();
  return { ...record, payload: { ...record.payload, replyIds: ids as TokenId[] } as TurnRecord['payload'] };
}

function leansOn(bytes: Uint8Array, sealed: SealedRecord): boolean {
  try {
    openDelta(bytes, logOf(sealed), none);
    return false;
  } catch (error) {
    return error instanceof DeltaUnreadable;
  }
}

function expectSame(got: SealedRecord, sealed: SealedRecord): void {
  expect(got.hash).toBe(sealed.hash);
  expect(hex(got.bytes)).toBe(hex(sealed.bytes));
  expect(got.record).toEqual(sealed.record);
  expect(openRecord(got.bytes, got.hash).record).toEqual(sealed.record);
}

function expectNothingElse(bytes: Uint8Array, sealed: SealedRecord, parent: DeltaParent | undefined): void {
  let got: unknown;
  try {
    got = opened(bytes, sealed, parent);
  } catch (error) {
    got = error;
  }
  // Some bits do not matter: then it is that very record.
  if ((got as SealedRecord).hash === sealed.hash) expectSame(got as SealedRecord, sealed);
  else expect(got instanceof DeltaUnreadable || got instanceof CorruptRecord, String(got)).toBe(true);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

// Tries to get a record out that was not put in: every kind of record there and back, every flipped bit and every cut,
// bytes that lie about lengths and ids under a checksum that fits (a peer can compute one), two byte strings for one
// record, another version, another name.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ContextId, TurnNumber } from '../../src/domain/identifiers.ts';
import { CorruptRecord, openRecord, RECORD_BYTES_MAX, sealRecord } from '../../src/domain/record/record-codec.ts';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import { sealedTombstone, sealedTurn, turnRecord } from '../../tools/turn-records.ts';
import { sessionRecords, turnRecords } from '../support/arbitrary-records.ts';

const CHECKSUM_BYTES = 4;

/** The same bytes under a checksum that fits them, as a peer that means harm would send them. */
function withFittingChecksum(canonical: Uint8Array): Uint8Array {
  const digest = createHash('sha256').update(canonical).digest();
  return Buffer.concat([canonical, digest.subarray(16, 16 + CHECKSUM_BYTES)]);
}

const canonicalOf = (bytes: Uint8Array) => bytes.subarray(0, bytes.length - CHECKSUM_BYTES);

describe('a sealed record', () => {
  test('opens to an equal record under the same hash', () => {
    fc.assert(
      fc.property(sessionRecords, (record) => {
        const sealed = sealRecord(record);
        const opened = openRecord(sealed.bytes, sealed.hash);
        expect(opened.record).toEqual(record);
        expect(opened.hash).toBe(sealed.hash);
      }),
      { numRuns: 400 },
    );
  });

  test('has the same bytes whenever and from whatever copy it is sealed', () => {
    fc.assert(
      fc.property(sessionRecords, (record) => {
        const copy = Object.fromEntries(Object.entries(structuredClone(record)).reverse()) as typeof record;
        expect(Buffer.from(sealRecord(copy).bytes).equals(Buffer.from(sealRecord(record).bytes))).toBe(true);
      }),
    );
  });

  test('has another hash as soon as anything in it differs', () => {
    fc.assert(
      fc.property(turnRecords, turnRecords, (one, other) => {
        for (const field of Object.keys(one) as (keyof typeof one)[]) {
          if (field === 'turn' || field === 'parent' || field === 'contextStart') continue;
          const mixed = { ...one, [field]: other[field] };
          const differs = !isEqual(mixed[field], one[field]);
          expect(sealRecord(mixed).hash !== sealRecord(one).hash, field).toBe(differs);
        }
      }),
    );
  });

  test('keeps its bytes and its name from version to version', () => {
    // Other nodes and old stores hold records with these names.
    expect(sealedTurn().hash).toBe('ecdfd437d3f7403062905db395e815d5');
    expect(sealedTombstone().hash).toBe('95fe0ecf98c23a4d1cb0fdc34daaff5e');
  });

  test('is a copy: it does not change with what it was made from', () => {
    const record = turnRecord();
    const { bytes, hash } = sealRecord(record);
    sealRecord(turnRecord({ variant: 5, replyTokens: 900 }));
    expect(openRecord(bytes).hash).toBe(hash);
  });

  test('of more than 8 MiB is refused', () => {
    expect(() => sealedTurn({ replyTokens: RECORD_BYTES_MAX })).toThrow(RangeError);
  });
});

describe('a record that cannot be', () => {
  const valid = turnRecord();
  test.each([
    ['turn 1 with a parent', { ...valid, parent: 'ab'.repeat(16) as ContextId }],
    ['turn 2 without a parent', { ...valid, turn: 2 as TurnNumber }],
    ['a context that starts after the turn', { ...valid, contextStart: 2 as TurnNumber }],
    ['a negative id', { ...valid, payload: { ...valid.payload, promptIds: [-1 as TokenId] } }],
    ['turn 0', { ...valid, turn: 0 as TurnNumber }],
    ['a context from turn 0', { ...valid, contextStart: 0 as TurnNumber }],
    ['a turn beyond 2³²', { ...valid, turn: (2 ** 32) as TurnNumber, parent: 'ab'.repeat(16) as ContextId }],
    ['an id that no tokenizer has', { ...valid, payload: { ...valid.payload, replyIds: [(2 ** 31) as TokenId] } }],
    ['a lead longer than the prompt', { ...valid, payload: { ...valid.payload, leadLength: 5 } }],
    [
      'a span outside the prompt',
      { ...valid, payload: { ...valid.payload, spans: [{ role: 'user', start: 2, length: 3 }] } },
    ],
    [
      'a role that is none',
      { ...valid, payload: { ...valid.payload, spans: [{ role: 'robot', start: 0, length: 1 }] } },
    ],
    ['a mode that keeps nothing', { ...valid, payload: { ...valid.payload, mode: 'client-side' } }],
    ['a user of two lines', { ...valid, userId: 'a\nb' as typeof valid.userId }],
    ['a session without a name', { ...valid, sessionId: '' as typeof valid.sessionId }],
    ['a node of no name', { ...valid, origin: '-' as typeof valid.origin }],
    ['half an id', { ...valid, payload: { ...valid.payload, promptIds: [1.5 as TokenId] } }],
    ['an id that is no number', { ...valid, payload: { ...valid.payload, promptIds: [Number.NaN as TokenId] } }],
    ['a fractional time', { ...valid, writtenAtMs: 0.5 }],
    ['a time beyond 2⁵³', { ...valid, expiresAtMs: 2 ** 53 }],
    ['a keygroup of the wrong length', { ...valid, keygroup: 'abcd' as typeof valid.keygroup }],
    ['a digest that is not hex', { ...valid, requestDigest: 'not hex digits!!' as typeof valid.requestDigest }],
  ] as const)('is not sealed: %s', (_, record) => {
    expect(() => sealRecord(record as typeof valid)).toThrow(RangeError);
  });
});

describe('damaged bytes', () => {
  test('are refused, whichever bit is flipped', () => {
    const samples = [...fc.sample(sessionRecords, { seed: 12, numRuns: 12 }), turnRecord()];
    for (const record of samples) {
      const { bytes, hash } = sealRecord(record);
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = Uint8Array.from(bytes);
        damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(() => openRecord(damaged), `bit ${bit}`).toThrow(CorruptRecord);
        expect(() => openRecord(damaged, hash), `bit ${bit}`).toThrow(CorruptRecord);
      }
    }
  });

  test('are refused, wherever they are cut, and with anything behind them', () => {
    for (const record of fc.sample(sessionRecords, { seed: 20, numRuns: 20 })) {
      const { bytes } = sealRecord(record);
      for (let length = 0; length < bytes.length; length++)
        expect(() => openRecord(bytes.subarray(0, length)), `${length} bytes`).toThrow(CorruptRecord);
      expect(() => openRecord(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(CorruptRecord);
      expect(() => openRecord(Buffer.concat([bytes, bytes]))).toThrow(CorruptRecord);
    }
  });

  test('that are another record are refused under this name', () => {
    const [one, other] = [sealedTurn(), sealedTurn({ variant: 1 })];
    expect(() => openRecord(other.bytes, one.hash)).toThrow(CorruptRecord);
  });

  test('of more than 8 MiB are refused without being hashed', () => {
    expect(() => openRecord(new Uint8Array(RECORD_BYTES_MAX + 1))).toThrow(/8388609 bytes long/);
  });
});

describe('forged bytes under a fitting checksum', () => {
  test('are refused or are the one and only form of what they open to', () => {
    const forgery = fc.record({
      record: sessionRecords,
      edits: fc.array(
        fc.record({ at: fc.nat(400), to: fc.oneof(fc.nat(255), fc.constantFrom(0, 0x80, 0xff)), kind: fc.nat(2) }),
        { minLength: 1, maxLength: 3 },
      ),
    });
    let opened = 0;
    fc.assert(
      fc.property(forgery, ({ record, edits }) => {
        let canonical = Buffer.from(canonicalOf(sealRecord(record).bytes));
        for (const { at, to, kind } of edits) {
          const index = at % canonical.length;
          if (kind === 0) canonical[index] = to;
          else if (kind === 1) canonical = Buffer.concat([canonical.subarray(0, index), canonical.subarray(index + 1)]);
          else canonical = Buffer.concat([canonical.subarray(0, index), Buffer.of(to), canonical.subarray(index)]);
        }
        const forged = withFittingChecksum(canonical);
        let sealedAgain: Uint8Array;
        try {
          sealedAgain = sealRecord(openRecord(forged).record).bytes;
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptRecord);
          return;
        }
        opened++;
        expect(Buffer.from(sealedAgain).toString('hex')).toBe(Buffer.from(forged).toString('hex'));
      }),
      { numRuns: 3_000 },
    );
    expect(opened).toBeGreaterThan(0);
  });

  const canonical = Buffer.from(canonicalOf(sealedTurn().bytes));
  const replaced = (from: string, to: string) => {
    const at = canonical.indexOf(Buffer.from(from, 'latin1'));
    expect(at).toBeGreaterThan(0);
    const after = canonical.subarray(at + from.length);
    return withFittingChecksum(Buffer.concat([canonical.subarray(0, at), Buffer.from(to, 'latin1'), after]));
  };

  /** The payload begins: mode, codec, flags, lead, number of spans, and of the one span role, start and length. */
  const payloadByte = (offset: number, value: number) => {
    const at = canonical.indexOf(Buffer.of(1, 1, 1, 1, 1, 1, 1, 2, 4));
    expect(at).toBeGreaterThan(0);
    const forged = Buffer.from(canonical);
    forged[at + offset] = value;
    return withFittingChecksum(forged);
  };

  test.each([
    ['another version', () => withFittingChecksum(Buffer.concat([Buffer.of(2), canonical.subarray(1)]))],
    ['an unknown kind', () => withFittingChecksum(Buffer.concat([Buffer.of(1, 9), canonical.subarray(2)]))],
    ['a NUL in an id', () => replaced('\u0007session', '\u0007ses\0ion')],
    ['a line break in an id', () => replaced('\u0004user', '\u0004us\nr')],
    ['an empty id', () => replaced('\u0004user', '\u0000')],
    ['an id that is not UTF-8', () => replaced('\u0004user', '\u0004us\xc3r')],
    ['a node id that is none', () => replaced('\u0006node-1', '\u0006node 1')],
    ['a length in a longer form than need be', () => replaced('\u0004user', '\x84\u0000user')],
    ['an unknown mode', () => payloadByte(0, 7)],
    ['an unknown token codec', () => payloadByte(1, 9)],
    ['an unknown flag', () => payloadByte(2, 5)],
    ['a lead longer than the prompt', () => payloadByte(3, 5)],
    ['an unknown role', () => payloadByte(5, 5)],
    ['a span outside the prompt', () => payloadByte(6, 3)],
    [
      'more ids than bytes',
      () => replaced('\u0004\u0001\u0002\u0003\u0001\u0004', '\xff\xff\xff\x7f\u0001\u0002\u0003'),
    ],
  ])('are refused: %s', (_, forge) => {
    expect(() => openRecord(forge())).toThrow(CorruptRecord);
  });
});

function isEqual(a: unknown, b: unknown): boolean {
  try {
    expect(a).toEqual(b);
    return true;
  } catch {
    return false;
  }
}

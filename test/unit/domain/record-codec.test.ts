// Tries to get a record out that was not put in: every kind of record there and back, every flipped bit and every cut,
// bytes that lie about lengths and ids under a checksum that fits (a peer can compute one), two byte strings for one
// record, another version, another name.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ContextId, TurnNumber } from '../../../src/domain/identifiers.ts';
import {
  type IdMark,
  type MediaPart,
  type MessageContent,
  plainText,
  type ToolCallPart,
  textOf,
} from '../../../src/domain/record/message-content.ts';
import { CorruptRecord, openRecord, RECORD_BYTES_MAX, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { NewerRecord, RECORD_FORMAT_VERSION } from '../../../src/domain/record/record-version.ts';
import type { SessionRecord, TokenizedPayload } from '../../../src/domain/record/turn-record.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { sealedTombstone, sealedTurn, structured, structuredRaw, turnRecord } from '../../../tools/turn-records.ts';
import { sessionRecords, turnRecords } from '../../support/arbitrary-records.ts';

const CHECKSUM_BYTES = 4;

/** The same bytes under a checksum that fits them, as a peer that means harm would send them. */
function withFittingChecksum(canonical: Uint8Array): Uint8Array {
  const digest = createHash('sha256').update(canonical).digest();
  return Buffer.concat([canonical, digest.subarray(16, 16 + CHECKSUM_BYTES)]);
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** As other nodes and old stores hold them. */
const GOLDEN = [
  {
    name: 'a tokenized turn',
    version: 1,
    hash: 'ecdfd437d3f7403062905db395e815d5',
    bytes:
      '010000112233445566aa04757365720773657373696f6e066e6f64652d310badcafe80d0eab6b733808884e0b733010000000000000000010005000000000000000040010101010101010204010203010401080f16e3b213b2',
  },
  {
    name: 'a raw turn',
    version: 1,
    hash: '7d53125c8b4cf8d7df6de8da782f83d4',
    bytes:
      '010000112233445566aa04757365720773657373696f6e066e6f64652d310badcafe80d0eab6b733808884e0b7330100000000000000000100050000000000000000400001010568656c6c6f02686988b0bcb1',
  },
  {
    name: 'a tombstone',
    version: 1,
    hash: '95fe0ecf98c23a4d1cb0fdc34daaff5e',
    bytes: '010100112233445566aa04757365720773657373696f6e066e6f64652d310badcafe80d0eab6b73380e5dfe1b7335e9a46b9',
  },
  {
    name: 'a turn with marks and extensions',
    version: 2,
    hash: '2bd98ecc3294ff6099bf02021937d9ab',
    bytes:
      '020000112233445566aa04757365720773657373696f6e066e6f64652d310badcafe80d0eab6b733808884e0b733020c61636d652e62696c6c696e67097465616d20626c75650a61636d652e7472616365030700ff010000000000000000010005000000000000000040010101010101010204010203010401080f160300010201c0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0de09696d6167652f706e67f0a20401000103010103040663616c6c2d3107776561746865720d7b226174223a2268657265227d0278cfcd',
  },
  {
    name: 'a raw turn with parts of every kind',
    version: 2,
    hash: 'eee88a384c91e55e38d8254f02780bdc',
    bytes:
      '020000112233445566aa04757365720773657373696f6e066e6f64652d310badcafe80d0eab6b733808884e0b733020c61636d652e62696c6c696e67097465616d20626c75650a61636d652e7472616365030700ff010000000000000000010005000000000000000040000300000942652062726965662e01020014486f77207761726d20697320697420686572653f01c0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0dec0de09696d6167652f706e67f0a2040301050663616c6c2d310006323120c2b04302030441736b2e040663616c6c2d3107776561746865720d7b226174223a2268657265227df6793fcd',
  },
] as const;

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
    expect(sealRecord(structured(sealedTurn())).hash).toBe('2bd98ecc3294ff6099bf02021937d9ab');
    expect(sealRecord(structuredRaw()).hash).toBe('eee88a384c91e55e38d8254f02780bdc');
  });

  test.each(GOLDEN)('is read from the bytes that version $version wrote: $name', ({ version, hash, bytes }) => {
    const written = Buffer.from(bytes, 'hex');
    expect(written[0]).toBe(version);
    const opened = openRecord(written, hash as ContextId);
    expect(opened.hash).toBe(hash);
    expect(hex(sealRecord(opened.record).bytes)).toBe(bytes);
  });

  test('is written in the oldest version that can say it', () => {
    const turn = turnRecord();
    const raw = { mode: 'raw', messages: [{ role: 'user', content: 'hello' }], reply: 'hi' } as const;
    const versionOf = (record: SessionRecord) => sealRecord(record).bytes[0];
    expect(versionOf(turn)).toBe(1);
    expect(versionOf({ ...turn, payload: raw })).toBe(1);
    expect(versionOf({ ...turn, extensions: new Map() })).toBe(1);
    expect(versionOf({ ...turn, payload: { ...turn.payload, marks: [] } as TokenizedPayload })).toBe(1);
    expect(versionOf(structured(sealedTurn()))).toBe(2);
    expect(versionOf({ ...turn, extensions: new Map([['a', Uint8Array.of()]]) })).toBe(2);
    expect(versionOf({ ...turn, payload: { ...raw, reply: [{ type: 'text', text: 'hi' }] } })).toBe(2);
  });

  test('has the same bytes in whatever order its extensions were set', () => {
    const { extensions, ...turn } = structured(sealedTurn());
    const reversed = new Map([...(extensions ?? [])].reverse());
    expect(sealRecord({ ...turn, extensions: reversed }).hash).toBe(sealRecord(structured(sealedTurn())).hash);
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
  const media: MediaPart = { type: 'image', digest: 'ab'.repeat(32), mediaType: 'image/png', size: 9 };
  const call: ToolCallPart = { type: 'tool-call', callId: 'c', name: 'n', arguments: '' };
  const extensionsOf = (count: number, bytes: number) =>
    new Map(Array.from({ length: count }, (_, i) => [`e${i}`, new Uint8Array(bytes)]));
  const withReply = (reply: MessageContent) => ({ ...valid, payload: { mode: 'raw', messages: [], reply } });
  const withMark = (mark: IdMark) => ({ ...valid, payload: { ...valid.payload, marks: [mark] } });
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
    ['an unknown role', { ...valid, payload: { ...valid.payload, spans: [{ role: 'robot', start: 0, length: 1 }] } }],
    ['a mode that keeps nothing', { ...valid, payload: { ...valid.payload, mode: 'client-side' } }],
    ['a user of two lines', { ...valid, userId: 'a\nb' as typeof valid.userId }],
    ['a session without a name', { ...valid, sessionId: '' as typeof valid.sessionId }],
    ['a node of no name', { ...valid, origin: '-' as typeof valid.origin }],
    ['half an id', { ...valid, payload: { ...valid.payload, promptIds: [1.5 as TokenId] } }],
    ['an id that is not a number', { ...valid, payload: { ...valid.payload, promptIds: [Number.NaN as TokenId] } }],
    ['a fractional time', { ...valid, writtenAtMs: 0.5 }],
    ['a time beyond 2⁵³', { ...valid, expiresAtMs: 2 ** 53 }],
    ['a keygroup of the wrong length', { ...valid, keygroup: 'abcd' as typeof valid.keygroup }],
    ['an extension of no name', { ...valid, extensions: new Map([['', Uint8Array.of()]]) }],
    ['an extension with a name of two lines', { ...valid, extensions: new Map([['a\nb', Uint8Array.of()]]) }],
    ['an extension with a long name', { ...valid, extensions: new Map([['a'.repeat(65), Uint8Array.of()]]) }],
    ['too many extensions', { ...valid, extensions: extensionsOf(17, 0) }],
    ['extensions of too many bytes', { ...valid, extensions: extensionsOf(2, 8_193) }],
    ['a content of no parts', withReply([])],
    ['a content of too many parts', withReply(new Array(1_025).fill({ type: 'text', text: 'x' }))],
    ['media without a digest', withReply([{ ...media, digest: '' }])],
    ['media of a type of two lines', withReply([{ ...media, mediaType: 'image/png\nx' }])],
    ['media of no type', withReply([{ ...media, mediaType: 'image' }])],
    ['media of half a byte', withReply([{ ...media, size: 0.5 }])],
    ['a tool call without an id', withReply([{ ...call, callId: '' }])],
    ['a call of a tool with a name of two lines', withReply([{ ...call, name: 'a\nb' }])],
    ['a mark outside the prompt', withMark({ segment: 'prompt', start: 2, length: 3, part: media })],
    ['a mark outside the reply', withMark({ segment: 'reply', start: 5, length: 0, part: media })],
    ['a digest that is not hex', { ...valid, requestDigest: 'not hex digits!!' as typeof valid.requestDigest }],
  ] as const)('is not sealed: %s', (_, record) => {
    expect(() => sealRecord(record as typeof valid)).toThrow(RangeError);
  });
});

describe('a record of a newer version', () => {
  const newer = (version: number) => {
    const { bytes } = sealedTurn();
    return withFittingChecksum(Buffer.concat([Buffer.of(version), canonicalOf(bytes).subarray(1)]));
  };

  test('is told from a damaged one, whatever it holds', () => {
    const versions = fc.integer({ min: RECORD_FORMAT_VERSION + 1, max: 127 });
    fc.assert(
      fc.property(versions, fc.uint8Array({ maxLength: 200 }), (version, rest) => {
        expect(() => openRecord(withFittingChecksum(Buffer.of(version, ...rest)))).toThrow(NewerRecord);
      }),
    );
    for (let version = RECORD_FORMAT_VERSION + 1; version < 128; version++)
      expect(() => openRecord(newer(version))).toThrow(new NewerRecord(version));
  });

  test('is damaged where its checksum or its name does not fit', () => {
    const bytes = newer(3);
    bytes[40] = (bytes[40] as number) ^ 1;
    expect(() => openRecord(bytes)).toThrow(CorruptRecord);
    expect(() => openRecord(newer(3), 'ab'.repeat(16) as ContextId)).toThrow(CorruptRecord);
  });
});

describe('bytes that nobody wrote', () => {
  test('are refused, and ask for no more memory than they are long', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 }),
        fc.nat(1),
        fc.uint8Array({ maxLength: 300 }),
        (version, kind, rest) => {
          expect(() => openRecord(withFittingChecksum(Buffer.of(version, kind, ...rest)))).toThrow(CorruptRecord);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});

describe('damaged bytes', () => {
  test('are refused, whichever bit is flipped', () => {
    const samples = [
      ...fc.sample(sessionRecords, { seed: 12, numRuns: 12 }),
      turnRecord(),
      structured(sealedTurn()),
      structuredRaw(),
    ];
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
          const isNewer = forged[0] !== undefined && forged[0] > RECORD_FORMAT_VERSION && forged[0] < 0x80;
          expect(error).toBeInstanceOf(isNewer ? NewerRecord : CorruptRecord);
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

  /** The turn in the form of version 2, with no extensions and no marks. */
  const versionTwoForNothing = () => {
    const { record } = sealedTurn();
    const beside = sealRecord({ ...record, extensions: new Map([['a', Uint8Array.of()]]) });
    const written = Buffer.from(canonicalOf(beside.bytes));
    const at = written.indexOf(Buffer.of(1, 1, 0x61, 0));
    expect(at).toBeGreaterThan(0);
    return withFittingChecksum(Buffer.concat([written.subarray(0, at), Buffer.of(0), written.subarray(at + 4)]));
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
    ['version 0', () => withFittingChecksum(Buffer.concat([Buffer.of(0), canonical.subarray(1)]))],
    ['no version', () => withFittingChecksum(Buffer.concat([Buffer.of(0x81), canonical.subarray(1)]))],
    ['version 2 where version 1 says it all', () => versionTwoForNothing()],
    ['an unknown kind', () => withFittingChecksum(Buffer.concat([Buffer.of(1, 9), canonical.subarray(2)]))],
    ['a NUL in an id', () => replaced('\u0007session', '\u0007ses\0ion')],
    ['a line break in an id', () => replaced('\u0004user', '\u0004us\nr')],
    ['an empty id', () => replaced('\u0004user', '\u0000')],
    ['an id that is not UTF-8', () => replaced('\u0004user', '\u0004us\xc3r')],
    ['a malformed node id', () => replaced('\u0006node-1', '\u0006node 1')],
    ['a length in a longer form than needed', () => replaced('\u0004user', '\x84\u0000user')],
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

describe('a content', () => {
  const parts: MessageContent = [
    { type: 'text', text: 'Look:' },
    { type: 'image', digest: 'ab'.repeat(32), mediaType: 'image/png', size: 9 },
    { type: 'thinking', text: 'hm' },
    { type: 'text', text: 'Well?' },
  ];

  test('is shown with a word for what is not text', () => {
    expect(textOf('plain')).toBe('plain');
    expect(textOf(parts)).toBe('Look:\n[image]\nWell?');
  });

  test('is no plain text as soon as anything would be lost', () => {
    expect(plainText('plain')).toBe('plain');
    expect(
      plainText([
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ]),
    ).toBe('a\nb');
    for (const part of parts.slice(1, 3)) expect(plainText([part as never])).toBeUndefined();
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

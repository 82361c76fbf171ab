import fc from 'fast-check';
import type {
  ContextId,
  Incarnation,
  KeygroupId,
  NodeId,
  RequestDigest,
  SessionId,
  TurnNumber,
  UserId,
} from '../../src/domain/identifiers.ts';
import type {
  RawPayload,
  SessionRecord,
  StopReason,
  TokenizedPayload,
  TombstoneRecord,
  TurnRecord,
} from '../../src/domain/record/turn-record.ts';
import { TOKEN_ID_MAX, type TokenId } from '../../src/domain/token-sequence.ts';

const hexDigits = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((array) => Buffer.from(array).toString('hex'));

/** Well-formed text of any script, control characters and NUL included. */
const text = fc.string({ unit: 'binary', maxLength: 40 });
const id = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 32 })
  .filter((candidate) => !/[\u0000-\u001f\u007f]/.test(candidate));
/** Zero, the borders between lengths of a varint, and anything else up to 2⁵³−1. */
const whole = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32, 2 ** 49, Number.MAX_SAFE_INTEGER),
  fc.maxSafeNat(),
);
const role = fc.constantFrom('system', 'user', 'assistant', 'tool', 'developer');

/** Token ids: mostly of a real vocabulary's size, sometimes as large as they can be. */
export const tokenIds: fc.Arbitrary<TokenId[]> = fc.array(
  fc.oneof(fc.nat(151_935), fc.constantFrom(0, 127, 128, 16_383, 16_384, TOKEN_ID_MAX)) as fc.Arbitrary<TokenId>,
  { maxLength: 60 },
);

const header = fc.record({
  keygroup: hexDigits(8) as fc.Arbitrary<KeygroupId>,
  userId: id as fc.Arbitrary<UserId>,
  sessionId: id as fc.Arbitrary<SessionId>,
  origin: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/) as fc.Arbitrary<NodeId>,
  incarnation: hexDigits(4) as fc.Arbitrary<Incarnation>,
  writtenAtMs: whole,
  expiresAtMs: whole,
});

const stop: fc.Arbitrary<StopReason> = fc.oneof(
  fc.constant({ kind: 'end' as const }),
  fc.constant({ kind: 'limit' as const }),
  text.map((word) => ({ kind: 'word' as const, word })),
);

const tokenized: fc.Arbitrary<TokenizedPayload> = fc
  .record({
    promptIds: tokenIds,
    replyIds: tokenIds,
    exact: fc.boolean(),
    lead: fc.double({ min: 0, max: 1, noNaN: true }),
    spans: fc.array(fc.record({ role, from: fc.nat(100), to: fc.nat(100) }), { maxLength: 4 }),
    replyText: fc.option(text, { nil: undefined }),
  })
  .map(({ lead, spans, ...payload }) => {
    const within = (percent: number) => Math.floor((percent / 100) * payload.promptIds.length);
    return {
      mode: 'tokenized' as const,
      ...payload,
      leadLength: Math.floor(lead * payload.promptIds.length),
      spans: spans.map(({ role, from, to }) => {
        const start = within(Math.min(from, to));
        return { role, start, length: within(Math.max(from, to)) - start };
      }),
    };
  });

const raw: fc.Arbitrary<RawPayload> = fc.record({
  mode: fc.constant('raw' as const),
  messages: fc.array(fc.record({ role, content: text }), { maxLength: 5 }),
  reply: text,
});

export const tombstoneRecords: fc.Arbitrary<TombstoneRecord> = header.map((fields) => ({
  kind: 'tombstone' as const,
  ...fields,
}));

export const turnRecords: fc.Arbitrary<TurnRecord> = fc
  .record({
    header,
    turn: fc.oneof(fc.constantFrom(1, 2, 127, 128, 0xffff_ffff), fc.integer({ min: 1, max: 0xffff_ffff })),
    parent: hexDigits(16) as fc.Arbitrary<ContextId>,
    requestDigest: hexDigits(8) as fc.Arbitrary<RequestDigest>,
    contextStart: fc.double({ min: 0, max: 1, noNaN: true }),
    stop,
    sampling: fc.record({
      temperature: fc.option(fc.double({ noNaN: true }), { nil: undefined }),
      seed: fc.option(fc.oneof(fc.nat(), fc.double({ noNaN: true })), { nil: undefined }),
      maxTokens: fc.option(whole, { nil: undefined }),
    }),
    payload: fc.oneof(tokenized, raw),
  })
  .map(({ header: fields, turn, parent, contextStart, ...rest }) => ({
    kind: 'turn' as const,
    ...fields,
    ...rest,
    turn: turn as TurnNumber,
    parent: turn === 1 ? undefined : parent,
    contextStart: (1 + Math.floor(contextStart * (turn - 1))) as TurnNumber,
  }));

export const sessionRecords: fc.Arbitrary<SessionRecord> = fc.oneof(
  { weight: 6, arbitrary: turnRecords },
  { weight: 1, arbitrary: tombstoneRecords },
);

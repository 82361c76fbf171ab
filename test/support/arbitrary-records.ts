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
import type { Extensions } from '../../src/domain/record/extensions.ts';
import type { ContentPart, MarkedPart, MediaPart, MessageContent } from '../../src/domain/record/message-content.ts';
import type { KeptPreamble, ToolDefinition } from '../../src/domain/record/preamble.ts';
import type {
  ItemsPayload,
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

const media: fc.Arbitrary<MediaPart> = fc.record({
  type: fc.constantFrom('image' as const, 'audio' as const),
  digest: hexDigits(32),
  mediaType: fc.constantFrom('image/png', 'audio/x-wav', 'application/vnd.acme+json'),
  size: whole,
});
const toolCall = fc.record({ type: fc.constant('tool-call' as const), callId: id, name: id, arguments: text });
const toolResult = fc.record({ type: fc.constant('tool-result' as const), callId: id, isError: fc.boolean() });
const thinking = fc.constant({ type: 'thinking' as const });

const part: fc.Arbitrary<ContentPart> = fc.oneof(
  text.map((words) => ({ type: 'text' as const, text: words })),
  media,
  toolCall,
  fc.tuple(toolResult, text).map(([result, output]) => ({ ...result, output })),
  fc.tuple(thinking, text).map(([thought, words]) => ({ ...thought, text: words })),
);
/** What a message says; mostly plain text. */
const content: fc.Arbitrary<MessageContent> = fc.oneof(
  { weight: 4, arbitrary: text },
  { weight: 1, arbitrary: fc.array(part, { minLength: 1, maxLength: 4 }) },
);
const markedPart: fc.Arbitrary<MarkedPart> = fc.oneof(media, toolCall, toolResult, thinking);

const extensions: fc.Arbitrary<{ extensions?: Extensions }> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc
      .uniqueArray(fc.tuple(fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,63}$/), fc.uint8Array({ maxLength: 60 })), {
        selector: ([name]) => name,
        minLength: 1,
        maxLength: 4,
      })
      .map((entries) => ({ extensions: new Map(entries) })),
  },
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
    marks: fc.oneof(
      { weight: 3, arbitrary: fc.constant<{ from: number; to: number; part: MarkedPart }[]>([]) },
      {
        weight: 1,
        arbitrary: fc.array(fc.record({ from: fc.nat(100), to: fc.nat(100), part: markedPart }), { maxLength: 3 }),
      },
    ),
  })
  .map(({ lead, spans, marks, ...payload }) => {
    const within = (percent: number) => Math.floor((percent / 100) * payload.promptIds.length);
    return {
      mode: 'tokenized' as const,
      ...payload,
      leadLength: Math.floor(lead * payload.promptIds.length),
      spans: spans.map(({ role, from, to }) => {
        const start = within(Math.min(from, to));
        return { role, start, length: within(Math.max(from, to)) - start };
      }),
      ...(marks.length > 0 && {
        marks: marks.map(({ from, to, part: marked }) => {
          const segment = from % 2 === 0 ? ('prompt' as const) : ('reply' as const);
          const ids = segment === 'prompt' ? payload.promptIds : payload.replyIds;
          const start = Math.floor((Math.min(from, to) / 100) * ids.length);
          return { segment, start, length: Math.floor((Math.max(from, to) / 100) * ids.length) - start, part: marked };
        }),
      }),
    };
  });

const raw: fc.Arbitrary<RawPayload> = fc.record({
  mode: fc.constant('raw' as const),
  messages: fc.array(fc.record({ role, content }), { maxLength: 5 }),
  reply: content,
});

const items: fc.Arbitrary<ItemsPayload> = fc.record({
  mode: fc.constant('items' as const),
  messages: fc.array(fc.record({ role, content }), { maxLength: 5 }),
});

export const tombstoneRecords: fc.Arbitrary<TombstoneRecord> = fc
  .tuple(header, extensions)
  .map(([fields, carried]) => ({ kind: 'tombstone' as const, ...fields, ...carried }));

/** What stands before a conversation; mostly nothing new. */
const preambleFor = (mode: TurnRecord['payload']['mode']): fc.Arbitrary<{ preamble?: KeptPreamble }> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constant({}) },
    {
      weight: 1,
      arbitrary: fc.record({
        preamble: fc.record({
          instructions: mode === 'raw' ? fc.option(text, { nil: undefined }) : fc.option(tokenIds, { nil: undefined }),
          tools: fc.uniqueArray(tool, { selector: ({ name }) => name, maxLength: 3 }),
        }),
      }),
    },
  );
const tool: fc.Arbitrary<ToolDefinition> = fc
  .record(
    {
      name: fc.stringMatching(/^[A-Za-z0-9_.:-]{1,128}$/),
      description: text,
      parameters: fc.dictionary(text, fc.oneof(text, fc.nat(), fc.constant([{ a: [] }]))),
      strict: fc.boolean(),
    },
    { requiredKeys: ['name'] },
  )
  .map((made) => JSON.parse(JSON.stringify(made)));

export const turnRecords: fc.Arbitrary<TurnRecord> = fc
  .record({
    header: fc.tuple(header, extensions).map(([fields, carried]) => ({ ...fields, ...carried })),
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
    payload: fc.oneof(
      { weight: 3, arbitrary: tokenized },
      { weight: 3, arbitrary: raw },
      { weight: 1, arbitrary: items },
    ),
  })
  .chain((fields) => preambleFor(fields.payload.mode).map((before) => ({ ...fields, ...before })))
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

import { type Static, type TSchema, Type } from 'typebox';
import type { EvaluatedTurn, Reply, TurnReply } from '../../../context-manager/turn/turn.ts';
import { TOKEN_ID_MAX } from '../../../domain/token-sequence.ts';
import { ownerOf } from '../../owner.ts';
import { STOP_TYPES } from '../../stop-types.ts';
import type { CompletionBody } from './completion-body.ts';
import { rounded, Timings, timingsOf } from './timings.ts';

/** What the fields of a reply are made of. */
export interface Answered {
  readonly reply: Reply;
  /**
   * The turn as it is stored, or without a place in the session where it was only evaluated; `undefined` for a forwarded
   * prompt, of which the request's own words are given back.
   */
  readonly turn: (EvaluatedTurn & Partial<TurnReply>) | undefined;
  readonly prompt: string | undefined;
  readonly body: CompletionBody;
  readonly requestBytes: number;
  readonly model: string;
  readonly node: string;
}

/** One field of the reply: what it is, and where it comes from. */
interface Field<Schema extends TSchema = TSchema> {
  readonly schema: Schema;
  value(answered: Answered): unknown;
}

function always<Schema extends TSchema>(schema: Schema, value: (answered: Answered) => Static<Schema>): Field<Schema> {
  return { schema, value };
}

/** Left out where the value is `undefined`. */
function maybe<Schema extends TSchema>(schema: Schema, value: (answered: Answered) => Static<Schema> | undefined) {
  return { schema: Type.Optional(schema), value };
}

const text = (description?: string) => Type.String(description === undefined ? {} : { description });
const count = (description?: string) => Type.Integer(description === undefined ? {} : { description });

/** llama.cpp's fields and DisCEdge's (DESIGN §10), in the order in which they are sent. */
const FIELDS = {
  index: always(count(), () => 0),
  content: always(text(), ({ reply }) => reply.text),
  tokens: always(Type.Array(Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX })), ({ reply, body }) =>
    body.return_tokens ? [...reply.replyIds] : [],
  ),
  id_slot: always(count('The slot that worked on it; −1 for a replay.'), ({ reply }) => reply.made?.slot ?? -1),
  stop: always(Type.Boolean(), () => true),
  model: always(text(), ({ model }) => model),
  session_id: maybe(text(), ({ turn, body }) => turn?.sessionId ?? body.session_id),
  user_id: always(text(), ({ turn, body }) => turn?.userId ?? ownerOf(body.user_id)),
  mode: always(text(), ({ turn }) => turn?.mode ?? 'client-side'),
  turn: maybe(count('Absent where no turn was taken.'), ({ turn, body }) => (turn ?? body).turn),
  context_id: maybe(text(), ({ turn }) => turn?.contextId),
  node: always(text(), ({ node }) => node),
  request_size: always(count('Bytes of the request body.'), ({ requestBytes }) => requestBytes),
  retries: always(
    count('How often the node looked again for the turn before this one.'),
    ({ turn }) => turn?.retries ?? 0,
  ),
  waited_ms: always(Type.Number({ description: 'How long it waited for it.' }), ({ turn }) =>
    rounded(turn?.waitedMs ?? 0),
  ),
  based_on_turn: maybe(count(), ({ turn }) => turn?.basedOnTurn),
  based_on_context: maybe(
    text('The `context_id` that it went on from. Under `available` it may be another than the one that was sent.'),
    ({ turn }) => turn?.basedOnContext,
  ),
  replayed: always(Type.Boolean(), ({ turn }) => turn?.replayed ?? false),
  arbitrated: maybe(
    Type.Boolean({
      description:
        'False when the node that tells whether another one is answering this very turn did not answer, or, under `available`, was not asked: there may be a second answer. Absent from a replay, and where nothing is stored.',
    }),
    ({ turn }) => turn?.arbitrated,
  ),
  write_concern: maybe(
    text('What was reached, `local` or `replicated`; absent where nothing is stored.'),
    ({ turn }) => turn?.writeConcern,
  ),
  replicas: maybe(
    count(
      'Nodes known to have the turn on disk, this one included. There may be more: under `local` nobody is asked, under `replicated` the first peer is enough.',
    ),
    ({ turn }) => turn?.replicas,
  ),
  dropped_turns: always(
    count('Turns at the beginning of the session that the model no longer saw.'),
    ({ turn }) => turn?.droppedTurns ?? 0,
  ),
  tokens_rewritten: always(
    count('Ids of the context so far that are evaluated again because the chat template has earlier turns otherwise.'),
    ({ turn }) => turn?.rewrittenTokens ?? 0,
  ),
  repaired_turns: maybe(
    count(
      'Turns right before this one that were lost, and are what `repair` told of them; absent where there are none.',
    ),
    ({ turn }) => turn?.repairedTurns || undefined,
  ),
  exact_ids: always(
    Type.Boolean({ description: 'False when ids of the reply were recovered from its text.' }),
    ({ reply }) => reply.exact,
  ),
  stop_type: always(text('`eos`, `limit` or `word`'), ({ reply }) => STOP_TYPES[reply.stop.kind]),
  stopping_word: always(text(), ({ reply: { stop } }) => (stop.kind === 'word' ? stop.word : '')),
  tokens_predicted: always(count(), ({ reply }) => reply.usage.predictedTokens),
  tokens_evaluated: always(count('Ids of the whole prompt.'), ({ reply }) => reply.promptTokens),
  tokens_cached: always(
    count('Ids in the KV cache after the turn: all but the last, which was not evaluated. 0 for a replay.'),
    ({ reply, turn }) => (turn?.replayed ? 0 : reply.promptTokens + Math.max(0, reply.usage.predictedTokens - 1)),
  ),
  truncated: always(
    Type.Boolean({ description: 'Whether the context window cut the reply, or turns before it.' }),
    ({ reply, turn }) => reply.windowIsFull || (turn?.droppedTurns ?? 0) > 0,
  ),
  has_new_line: always(Type.Boolean(), ({ reply }) => reply.text.includes('\n')),
  prompt: maybe(
    text(
      'The message; in `client-side` the whole prompt, its ids put into words. Absent where the LLM Service could not do that.',
    ),
    ({ prompt }) => prompt,
  ),
  generation_settings: maybe(
    Type.Object(
      { n_predict: count(), max_tokens: count(), stop: Type.Array(Type.String()), stream: Type.Boolean() },
      { additionalProperties: true, description: 'What applied, sampling parameters included. Absent from a replay.' },
    ),
    ({ reply: { made }, body: { stop = [], stream = false } }) =>
      made && {
        ...made.settings,
        ...{ n_predict: made.maxTokens, max_tokens: made.maxTokens, stream },
        stop: typeof stop === 'string' ? [stop] : stop,
      },
  ),
  timings: always(Timings, ({ reply: { usage } }) => timingsOf(usage)),
} as const satisfies Record<string, Field>;

type Schemas = { [Name in keyof typeof FIELDS]: (typeof FIELDS)[Name]['schema'] };

export const CompletionReply = Type.Object(
  Object.fromEntries(Object.entries(FIELDS).map(([name, { schema }]) => [name, schema])) as Schemas,
  { additionalProperties: true, title: 'Completion' },
);
export type CompletionReply = Static<typeof CompletionReply>;

/** A whole reply; further fields of the LLM Service's own come first, and give way to ours. */
export function completionReply(answered: Answered): CompletionReply {
  const reply: Record<string, unknown> = { ...answered.reply.fields };
  for (const [name, field] of Object.entries(FIELDS)) {
    const value = field.value(answered);
    if (value !== undefined) reply[name] = value;
  }
  return reply as CompletionReply;
}

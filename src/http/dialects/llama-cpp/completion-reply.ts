import { type Static, Type } from 'typebox';
import type { EvaluatedTurn, Reply, ReplyMaking, TurnReply } from '../../../context-manager/turn/turn.ts';
import type { UserId } from '../../../domain/identifiers.ts';
import { TOKEN_ID_MAX } from '../../../domain/token-sequence.ts';
import { ContextTold, contextTold } from '../../context-told.ts';
import { defined } from '../../defined.ts';
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
  /** Whose session it is. */
  readonly userId: UserId;
}

const text = (description?: string) => Type.String(description === undefined ? {} : { description });
const count = (description?: string) => Type.Integer(description === undefined ? {} : { description });

/** llama.cpp's fields and DisCEdge's (DESIGN §10), in the order in which they are sent. */
export const CompletionReply = Type.Object(
  {
    index: count(),
    content: text(),
    tokens: Type.Array(Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX })),
    id_slot: count('The slot that worked on it; −1 for a replay.'),
    stop: Type.Boolean(),
    model: text(),
    session_id: Type.Optional(text()),
    user_id: text(),
    mode: text(),
    turn: Type.Optional(count('Absent where no turn was taken.')),
    context_id: Type.Optional(text()),
    node: text(),
    request_size: count('Bytes of the request body.'),
    retries: count('How often the node looked again for the turn before this one.'),
    waited_ms: Type.Number({ description: 'How long it waited for it.' }),
    based_on_turn: Type.Optional(count()),
    based_on_context: Type.Optional(
      text('The `context_id` that it went on from. Under `available` it may be another than the one that was sent.'),
    ),
    replayed: Type.Boolean(),
    arbitrated: Type.Optional(
      Type.Boolean({
        description:
          'False when the node that tells whether another one is answering this very turn did not answer, or, under `available`, was not asked: there may be a second answer. Absent from a replay, and where nothing is stored.',
      }),
    ),
    write_concern: Type.Optional(text('What was reached, `local` or `replicated`; absent where nothing is stored.')),
    replicas: Type.Optional(
      count(
        'Nodes known to have the turn on disk, this one included. There may be more: under `local` nobody is asked, under `replicated` the first peer is enough.',
      ),
    ),
    repaired_turns: Type.Optional(
      count(
        'Turns right before this one that were lost, and are what `repair` told of them; absent where there are none.',
      ),
    ),
    ...ContextTold,
    exact_ids: Type.Boolean({ description: 'False when ids of the reply were recovered from its text.' }),
    stop_type: text('`eos`, `limit` or `word`'),
    stopping_word: text(),
    tokens_predicted: count(),
    tokens_evaluated: count('Ids of the whole prompt.'),
    tokens_cached: count(
      'Ids in the KV cache after the turn: all but the last, which was not evaluated. 0 for a replay.',
    ),
    truncated: Type.Boolean({ description: 'Whether the context window cut the reply, or turns before it.' }),
    has_new_line: Type.Boolean(),
    prompt: Type.Optional(
      text(
        'The message; in `client-side` the whole prompt, its ids put into words. Absent where the LLM Service could not do that.',
      ),
    ),
    generation_settings: Type.Optional(
      Type.Object(
        { n_predict: count(), max_tokens: count(), stop: Type.Array(Type.String()), stream: Type.Boolean() },
        {
          additionalProperties: true,
          description: 'What applied, sampling parameters included. Absent from a replay.',
        },
      ),
    ),
    timings: Timings,
  },
  { additionalProperties: true, title: 'Completion' },
);
export type CompletionReply = Static<typeof CompletionReply>;

/** What is absent is `undefined`. Written down in one piece, as it is made for every turn: an object that grows field by field is slow. */
type Fields = { readonly [Name in keyof Required<CompletionReply>]: CompletionReply[Name] | undefined };

/** A whole reply; further fields of the LLM Service's own come first, and give way to ours. */
export function completionReply(answered: Answered): CompletionReply {
  const { reply, turn, body } = answered;
  const { made, stop, usage } = reply;
  const context = contextTold(turn ?? {});
  const fields: Fields = {
    index: 0,
    content: reply.text,
    tokens: body.return_tokens ? [...reply.replyIds] : [],
    id_slot: made?.slot ?? -1,
    stop: true,
    model: answered.model,
    session_id: turn?.sessionId ?? body.session_id,
    user_id: turn?.userId ?? answered.userId,
    mode: turn?.mode ?? 'client-side',
    turn: (turn ?? body).turn,
    context_id: turn?.contextId,
    node: answered.node,
    request_size: answered.requestBytes,
    retries: turn?.retries ?? 0,
    waited_ms: rounded(turn?.waitedMs ?? 0),
    based_on_turn: turn?.basedOnTurn,
    based_on_context: turn?.basedOnContext,
    replayed: turn?.replayed ?? false,
    arbitrated: turn?.arbitrated,
    write_concern: turn?.writeConcern,
    replicas: turn?.replicas,
    repaired_turns: turn?.repairedTurns || undefined,
    dropped_turns: context.dropped_turns,
    summarized_turns: context.summarized_turns,
    summary_tokens: context.summary_tokens,
    summary_made: context.summary_made,
    retrieved_turns: context.retrieved_turns,
    retrieved_by: context.retrieved_by,
    tokens_rewritten: context.tokens_rewritten,
    layers: context.layers,
    exact_ids: reply.exact,
    stop_type: STOP_TYPES[stop.kind],
    stopping_word: stop.kind === 'word' ? stop.word : '',
    tokens_predicted: usage.predictedTokens,
    tokens_evaluated: reply.promptTokens,
    tokens_cached: turn?.replayed ? 0 : reply.promptTokens + Math.max(0, usage.predictedTokens - 1),
    truncated: reply.windowIsFull || context.dropped_turns > 0 || context.summarized_turns !== undefined,
    has_new_line: reply.text.includes('\n'),
    prompt: answered.prompt,
    generation_settings: made && settingsOf(made, body),
    timings: timingsOf(usage),
  };
  if (Object.keys(reply.fields).length === 0) return fields as CompletionReply;
  // What is absent must not hide a field of the LLM Service's.
  return { ...reply.fields, ...defined(fields) } as CompletionReply;
}

function settingsOf(
  { settings, maxTokens }: ReplyMaking,
  { stop = [], stream = false }: CompletionBody,
): CompletionReply['generation_settings'] {
  const stopWords = typeof stop === 'string' ? [stop] : stop;
  return { ...settings, n_predict: maxTokens, max_tokens: maxTokens, stream, stop: stopWords };
}

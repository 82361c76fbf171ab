import { type Static, Type } from 'typebox';
import { NOT_CARRIED } from '../../context-manager/sessions/worded-session.ts';
import { CONTEXT_MODES } from '../../domain/record/turn-record.ts';
import { TOKEN_ID_MAX } from '../../domain/token-sequence.ts';
import { ContextTold } from '../context-told.ts';
import { choice } from '../requests/request-fields.ts';
import { STOP_TYPES } from '../stop-types.ts';

/* What is told of stored sessions, as it goes over the wire. */

const time = (description?: string) =>
  Type.String({ format: 'date-time', ...(description !== undefined && { description }) });
const mode = () => choice(CONTEXT_MODES);
const ids = (description: string) => Type.Array(Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX }), { description });
const whereSeveral = Type.Optional(Type.String({ description: 'Where the node serves several.' }));

export const SessionSummaryReply = Type.Object(
  {
    session_id: Type.String(),
    user_id: Type.String(),
    mode: mode(),
    turns: Type.Integer({ description: 'Number of its latest turn.' }),
    bytes: Type.Integer({ description: 'Of its records in the store.' }),
    created_at: time(),
    updated_at: time(),
    expires_at: time(),
    model: whereSeveral,
  },
  { title: 'SessionSummary' },
);
export type SessionSummaryReply = Static<typeof SessionSummaryReply>;

export const SessionListReply = Type.Object(
  {
    object: choice(['list']),
    data: Type.Array(SessionSummaryReply),
    has_more: Type.Boolean(),
    next: Type.Optional(Type.String({ description: 'To be sent as `after` for the next page.' })),
  },
  { title: 'SessionList' },
);

const TURN_FIELDS = {
  turn: Type.Integer({ description: 'Its number, from 1.' }),
  context_id: Type.String({ description: 'Names the history that ends with it.' }),
  node: Type.String({ description: 'That answered it.' }),
  written_at: time(),
};

const STORED_TURN_FIELDS = {
  ...TURN_FIELDS,
  parent: Type.Union([Type.String(), Type.Null()], {
    description: 'The `context_id` of the turn before; null for turn 1.',
  }),
  repairs: Type.Optional(
    Type.String({
      description:
        'The `context_id` of a turn that was lost with its node: this one is what the client told of it, and was not answered here.',
    }),
  ),
  moved_from: Type.Optional(
    Type.String({ description: 'The `context_id` that the turn had as one of another model, which answered it.' }),
  ),
  system: Type.Optional(Type.String()),
  user: Type.Optional(Type.String()),
  messages: Type.Optional(
    Type.Array(Type.Object({ role: Type.String(), content: Type.String() }), {
      description: 'All of them, where the turn began with a conversation that was had elsewhere.',
    }),
  ),
  reply: Type.Optional(Type.String()),
  text_error: Type.Optional(
    Type.Object(
      { code: Type.String(), message: Type.String() },
      {
        description:
          'Instead of `user` and `reply`, where the LLM Service was needed to put the ids into words, and failed.',
      },
    ),
  ),
  stop_type: choice(Object.values(STOP_TYPES)),
  context_start: Type.Integer({ description: 'The first turn that the model saw.' }),
  retrieved_turns: Type.Optional(
    Type.Array(Type.Integer({ minimum: 1 }), {
      description: 'Turns before that of which the model read again what was said.',
    }),
  ),
  retrieved_by: ContextTold.retrieved_by,
  prompt_tokens: Type.Optional(Type.Integer({ description: "Of this turn's part of the prompt; `tokenized` only." })),
  reply_tokens: Type.Optional(Type.Integer({ description: '`tokenized` only.' })),
};

export const StoredTurnReply = Type.Object(STORED_TURN_FIELDS, { title: 'StoredTurn' });
export type StoredTurnReply = Static<typeof StoredTurnReply>;

export const ExactTurnReply = Type.Object(
  {
    ...STORED_TURN_FIELDS,
    prompt_ids: Type.Optional(ids("Of this turn's part of the prompt; `tokenized` only.")),
    reply_ids: Type.Optional(ids('`tokenized` only.')),
    exact_ids: Type.Optional(
      Type.Boolean({ description: 'False when ids of the reply were recovered from its text.' }),
    ),
    record: Type.String({ description: 'The whole of it as the node keeps it, base64: what an import takes.' }),
  },
  { title: 'ExactTurn' },
);
export type ExactTurnReply = Static<typeof ExactTurnReply>;

const SESSION_FIELDS = {
  session_id: Type.String(),
  user_id: Type.String(),
  mode: Type.Optional(choice(CONTEXT_MODES, { description: 'Left out when none of its records can be read.' })),
  context_id: Type.Optional(Type.String({ description: 'Of the last turn of the main line.' })),
  expires_at: time(),
  corrupt_records: Type.Integer(),
  model: whereSeveral,
};
const BRANCH_FIELDS = {
  ...TURN_FIELDS,
  parts_after: Type.Integer({ description: 'The last turn that it shares with what comes before it; 0 for none.' }),
  parts_from: Type.Union([Type.String(), Type.Null()], { description: 'The `context_id` of that turn.' }),
};

const Summaries = Type.Optional(
  Type.Array(
    Type.Object({
      turns: Type.Integer({
        description: 'It stands for this many turns; those left out before it was made are none of them.',
      }),
      id: Type.String(),
      node: Type.String({ description: 'That had it written.' }),
      written_at: time(),
      text: Type.Optional(Type.String()),
      text_error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() })),
    }),
    { description: 'What the model reads, or may, in place of the oldest turns; absent where there is none.' },
  ),
);

export const SessionReply = Type.Object(
  {
    ...SESSION_FIELDS,
    turns: Type.Array(StoredTurnReply, { description: 'The main line, oldest first.' }),
    branches: Type.Array(Type.Object({ ...BRANCH_FIELDS, turns: Type.Array(StoredTurnReply) })),
    summaries: Summaries,
  },
  { title: 'Session' },
);

export const SessionExportReply = Type.Object(
  {
    keygroup: Type.String(),
    ...SESSION_FIELDS,
    turns: Type.Array(ExactTurnReply, { description: 'The main line, oldest first.' }),
    branches: Type.Array(Type.Object({ ...BRANCH_FIELDS, turns: Type.Array(ExactTurnReply) })),
    summaries: Summaries,
  },
  { title: 'SessionExport' },
);

export const ImportReply = Type.Object(
  {
    session_id: Type.String(),
    user_id: Type.String(),
    mode: Type.Optional(mode()),
    turns: Type.Integer({ description: 'Of all branches.' }),
    turn: Type.Integer({ description: 'The last one of the main line.' }),
    context_id: Type.String({ description: 'Of that one: context ids are others than before.' }),
    expires_at: time(),
    node: Type.String(),
    model: whereSeveral,
    replayed: Type.Boolean({ description: 'The same request had imported it before.' }),
  },
  { title: 'Import' },
);

export const ForkReply = Type.Object(
  {
    session_id: Type.String(),
    user_id: Type.String(),
    mode: mode(),
    turn: Type.Integer({ description: 'Turns that the new session has.' }),
    context_id: Type.String({ description: 'Of the last of them: what the next turn goes on from.' }),
    expires_at: time(),
    node: Type.String(),
    model: whereSeveral,
    replayed: Type.Boolean({ description: 'The same request had made this fork before.' }),
    forked_from: Type.Object({ session_id: Type.String(), turn: Type.Integer(), context_id: Type.String() }),
  },
  { title: 'Fork' },
);

export const MoveReply = Type.Object(
  {
    session_id: Type.String(),
    user_id: Type.String(),
    model: Type.String({ description: 'That the session goes on with.' }),
    mode: mode(),
    turn: Type.Integer({ description: 'Turns that it has there.' }),
    context_id: Type.String({ description: 'Of the last of them: what the next turn goes on from.' }),
    expires_at: time(),
    node: Type.String(),
    replayed: Type.Boolean({ description: 'The same request had moved it before.' }),
    dropped_turns: Type.Integer({
      minimum: 0,
      description: "Turns at the beginning that do not fit into that model's window: kept, and not read by it.",
    }),
    not_carried: Type.Array(choice(NOT_CARRIED), {
      description:
        "What it had that words do not carry: `exact_ids` of replies, which are tokenized anew from their text, `kv_state`, what the model thought (`reasoning`), `summaries`, `branches` beside the main line, `response_ids` of OpenAI's API, and why replies ended other than by themselves (`stop_reasons`).",
    }),
    moved_from: Type.Object({
      session_id: Type.String(),
      model: Type.String(),
      turn: Type.Integer(),
      context_id: Type.String(),
      deleted: Type.Boolean(),
    }),
  },
  { title: 'MovedSession' },
);

export const DeletedReply = Type.Object(
  { session_id: Type.String(), deleted: Type.Literal(true) },
  { title: 'DeletedSession' },
);

export const ComingReply = Type.Object(
  {
    session_id: Type.String(),
    turn: Type.Integer({ minimum: 0, description: 'The last one that is here; 0 where none has arrived.' }),
    warms: Type.Boolean({ description: 'Whether what is here of it is evaluated ahead of need, if the node is idle.' }),
  },
  { title: 'Coming' },
);

export const CancelReply = Type.Object({ cancelled: Type.Boolean() }, { title: 'Cancelled' });

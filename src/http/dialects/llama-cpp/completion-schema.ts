import { type Static, Type } from 'typebox';
import { CONSISTENCIES, WRITE_CONCERNS } from '../../../domain/consistency.ts';
import { CONTEXT_MODES } from '../../../domain/record/turn-record.ts';
import { TOKEN_ID_MAX } from '../../../domain/token-sequence.ts';
import { ModelChoice } from '../../model-choice.ts';

const PromptPiece = Type.Union([Type.String(), Type.Integer({ minimum: 0, maximum: TOKEN_ID_MAX })]);

/** Most stop words a request may name; llama-server checks each of them at every token. */
const STOP_WORDS_MAX = 16;
const STOP_WORD_CHARS_MAX = 256;

const choice = <const Values extends readonly string[]>(values: Values, options: object = {}) =>
  Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], ...options });

/**
 * llama.cpp's `/completion` with DisCEdge's fields. Every further field is a sampling parameter and goes to the LLM
 * Service under its own name.
 */
export const CompletionBody = Type.Object(
  {
    prompt: Type.Union([Type.String(), Type.Array(PromptPiece)], {
      description:
        "In `tokenized` and `raw`: the user's message, to which the node applies the chat template. In `client-side`: the whole prompt, text or ids or both.",
    }),
    session_id: Type.Optional(Type.String({ description: 'Left out or empty: a new session.' })),
    user_id: Type.Optional(Type.String({ description: 'Whose session it is; default `anonymous`.' })),
    turn: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 0xffff_ffff, description: 'Number of this turn, from 1.' }),
    ),
    context_id: Type.Optional(
      Type.String({ pattern: '^[0-9a-f]{32}$', description: 'The history to go on from, as the last reply named it.' }),
    ),
    mode: Type.Optional(
      choice(CONTEXT_MODES, {
        description: "How the context is kept; default: the session's, or the node's for a new one.",
      }),
    ),
    system: Type.Optional(Type.String({ description: 'System message; with turn 1 only.' })),
    consistency: Type.Optional(
      choice(CONSISTENCIES, {
        description:
          '`strong`: answered from all earlier turns or refused. `available`: answered from what is here; `based_on_turn` says what that was.',
      }),
    ),
    max_wait_ms: Type.Optional(
      Type.Integer({
        minimum: 0,
        description:
          'How long to wait for the turn before this one to arrive from another node. A node that shares its sessions with no other has nothing to wait for.',
      }),
    ),
    write_concern: Type.Optional(
      choice(WRITE_CONCERNS, {
        description:
          '`local`: the turn is on the disk of this node when its reply ends. `replicated`: the end of the reply waits until another node has it too, bounded; the reply says what was reached.',
      }),
    ),
    replicated_wait_ms: Type.Optional(
      Type.Integer({
        minimum: 0,
        description:
          'How long the end of the reply may wait for that other node. The turn stands however the wait ends: sent again, it is a replay, and waits anew.',
      }),
    ),
    ttl_seconds: Type.Optional(
      Type.Integer({ minimum: 1, description: 'How long after this turn the session lives on.' }),
    ),
    overflow: Type.Optional(
      choice(['error', 'drop-oldest', 'summarize'], {
        description:
          'When the context window is full: `error` leaves nothing (more) out, `drop-oldest` leaves out the oldest turns; `summarize` is not available yet.',
      }),
    ),
    stream: Type.Optional(
      Type.Boolean({
        description: 'Answer as `text/event-stream`: parts, then an event with every field of the reply.',
      }),
    ),
    n_predict: Type.Optional(
      Type.Integer({ minimum: -1, description: 'Most tokens to reply with; −1: as many as the node allows.' }),
    ),
    max_tokens: Type.Optional(Type.Integer({ minimum: -1, description: 'The same as n_predict.' })),
    stop: Type.Optional(
      Type.Union([
        Type.String({ maxLength: STOP_WORD_CHARS_MAX }),
        Type.Array(Type.String({ maxLength: STOP_WORD_CHARS_MAX }), { maxItems: STOP_WORDS_MAX }),
      ]),
    ),
    temperature: Type.Optional(Type.Number()),
    seed: Type.Optional(Type.Integer()),
    return_tokens: Type.Optional(Type.Boolean({ description: 'Add the ids of the reply.' })),
    ...ModelChoice,
  },
  { additionalProperties: true },
);
export type CompletionBody = Static<typeof CompletionBody>;

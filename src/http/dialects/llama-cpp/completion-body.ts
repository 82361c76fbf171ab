import { type Static, Type } from 'typebox';
import { CONTEXT_MODES } from '../../../domain/record/turn-record.ts';
import { ModelChoice } from '../../requests/model-choice.ts';
import {
  choice,
  contextId,
  modelText,
  sessionId,
  tokenId,
  turnNumber,
  unicodeText,
  userId,
} from '../../requests/request-fields.ts';
import { TurnOptions } from '../../requests/turn-options.ts';

/** Most stop words a request may name; llama-server checks each of them at every token. */
const STOP_WORDS_MAX = 16;
const stopWord = Type.String({ maxLength: 256 });

/** Most fields that a request may pick out of its reply, and how long their paths may be. */
const RESPONSE_FIELDS_MAX = 256;
const RESPONSE_FIELD_CHARS_MAX = 256;

const replyTokens = (description: string) =>
  Type.Integer({ minimum: -1, maximum: Number.MAX_SAFE_INTEGER, description });

/** Turns that a client may hand over, and their texts together: what is lost with a node is its last seconds. */
const REPAIR_TURNS_MAX = 32;
export const REPAIR_TEXT_CHARS_MAX = 262_144;

const rememberedTurn = Type.Object(
  {
    turn: turnNumber(),
    context_id: contextId({ description: 'As the node called it that answered it.' }),
    system: Type.Optional(modelText({ description: 'Of turn 1 alone.' })),
    prompt: modelText({ description: 'What was said.' }),
    reply: unicodeText({ description: 'What was answered.' }),
  },
  { additionalProperties: false },
);

/** What a request says beside its sampling parameters. */
const REQUEST_FIELDS = {
  prompt: Type.Union([modelText(), Type.Array(Type.Union([modelText(), tokenId()]))], {
    description:
      "In `tokenized` and `raw`: the user's message, to which the node applies the chat template. In `client-side`: the whole prompt, text or ids or both.",
  }),
  turn: Type.Optional(turnNumber({ description: 'Number of this turn, from 1.' })),
  mode: Type.Optional(
    choice(CONTEXT_MODES, {
      description: "How the context is kept; default: the session's, or the node's for a new one.",
    }),
  ),
  stream: Type.Optional(
    Type.Boolean({
      description: 'Answer as `text/event-stream`: parts, then an event with every field of the reply.',
    }),
  ),
  n_predict: Type.Optional(
    replyTokens(
      'Most tokens to reply with; −1: as many as the node allows; 0: the prompt is only evaluated, for a turn to come, and no turn is taken.',
    ),
  ),
  max_tokens: Type.Optional(replyTokens('The same as n_predict.')),
  stop: Type.Optional(Type.Union([stopWord, Type.Array(stopWord, { maxItems: STOP_WORDS_MAX })])),
  return_tokens: Type.Optional(Type.Boolean({ description: 'Add the ids of the reply.' })),
  response_fields: Type.Optional(
    Type.Array(Type.String({ maxLength: RESPONSE_FIELD_CHARS_MAX }), {
      maxItems: RESPONSE_FIELDS_MAX,
      description: 'Answer with these fields only; `timings/prompt_n` is one inside another.',
    }),
  ),
  return_progress: Type.Optional(
    Type.Boolean({ description: 'Begin the stream with events that say how far the prompt is.' }),
  ),
  timings_per_token: Type.Optional(Type.Boolean({ description: 'Add `timings` to each event of a stream.' })),
  ...ModelChoice,
};

/** More of the same, whose names no parameter of llama.cpp resembles, so that something close to one is a slip. */
const UNMISTAKABLE_FIELDS = {
  session_id: Type.Optional(sessionId({ description: 'Left out or empty: a new session.' })),
  user_id: Type.Optional(userId({ description: 'Whose session it is; default `anonymous`.' })),
  context_id: Type.Optional(contextId({ description: 'The history to go on from, as the last reply named it.' })),
  system: Type.Optional(modelText({ description: 'System message; with turn 1 only.' })),
  repair: Type.Optional(
    Type.Array(rememberedTurn, {
      minItems: 1,
      maxItems: REPAIR_TURNS_MAX,
      description: `The turns right before this one, oldest first, as the client was answered. Should they be lost with the node that had them, they are stored again as told, and marked so; as long as any reachable node has them, that is what counts. Needs \`turn\` and \`context_id\`; up to ${REPAIR_TEXT_CHARS_MAX} characters.`,
    }),
  ),
  ...TurnOptions,
};

/** The sampling parameters whose type is the same for every LLM Service; the others are its own to check. */
const SAMPLING_FIELDS = {
  temperature: Type.Optional(Type.Number()),
  seed: Type.Optional(Type.Integer()),
};

/**
 * llama.cpp's fields that steer its KV cache. They are the node's own business here and dropped, since a client that set them
 * could only break the prefix.
 */
const DROPPED_FIELDS = ['cache_prompt', 'id_slot', 'n_keep', 'n_discard'];

/**
 * llama.cpp's `/completion` with DisCEdge's fields. Every further field is a sampling parameter and goes to the LLM
 * Service under its own name.
 */
export const CompletionBody = Type.Object(
  { ...REQUEST_FIELDS, ...UNMISTAKABLE_FIELDS, ...SAMPLING_FIELDS },
  { additionalProperties: true, title: 'CompletionRequest' },
);
export type CompletionBody = Static<typeof CompletionBody>;

export const unmistakableFields: readonly string[] = Object.keys(UNMISTAKABLE_FIELDS);

const known: ReadonlySet<string> = new Set(Object.keys(CompletionBody.properties));
const notSampling: ReadonlySet<string> = new Set([
  ...Object.keys(REQUEST_FIELDS),
  ...unmistakableFields,
  ...DROPPED_FIELDS,
]);

/** The sampling parameters of a body; `isKnown` are those that its schema has checked. */
export function samplingFields(body: CompletionBody): { name: string; value: unknown; isKnown: boolean }[] {
  const names = Object.keys(body).filter((name) => !notSampling.has(name));
  return names.map((name) => ({ name, value: body[name as keyof CompletionBody], isKnown: known.has(name) }));
}

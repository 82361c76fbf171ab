import { Type } from 'typebox';
import type { Preamble } from '../../../../domain/record/preamble.ts';
import { ContextTold, contextTold, isWholeConversation, type ReadContext } from '../../../context-told.ts';
import { defined } from '../../../defined.ts';
import type { ItemView } from './item-views.ts';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';

/** What is known of a response at some moment of its life. */
export interface ResponseState {
  readonly id: string;
  readonly model: string;
  readonly createdAt: number;
  readonly completedAt: number | undefined;
  readonly status: ResponseStatus;
  /** Fields of the request that are shown again. */
  readonly said: Readonly<Record<string, unknown>>;
  readonly preamble: Preamble;
  readonly previousResponseId: string | undefined;
  readonly conversationId: string | undefined;
  readonly output: readonly ItemView[];
  readonly usage: ResponseUsage | undefined;
  readonly error: { readonly code: string; readonly message: string } | undefined;
  /** What its model read of the context; known where it was answered just now, and of no record. */
  readonly read?: ReadContext;
}

export interface ResponseUsage {
  readonly inputTokens: number;
  readonly cachedTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
}

/** Fields of a request that a response shows as they were sent, or with what applies where they were not. */
const SHOWN_DEFAULTS = {
  metadata: {},
  temperature: null,
  top_p: null,
  max_output_tokens: null,
  parallel_tool_calls: true,
  tool_choice: 'auto',
  text: { format: { type: 'text' } },
  truncation: 'disabled',
  reasoning: null,
  background: false,
  store: true,
  user: null,
} as const;
export const SHOWN_FIELDS = Object.keys(SHOWN_DEFAULTS);

export const ResponseUsageView = Type.Object({
  input_tokens: Type.Integer(),
  input_tokens_details: Type.Object({ cached_tokens: Type.Integer() }),
  output_tokens: Type.Integer(),
  output_tokens_details: Type.Object({ reasoning_tokens: Type.Integer() }),
  total_tokens: Type.Integer(),
});

export const Item = Type.Object(
  { id: Type.String(), type: Type.String() },
  { additionalProperties: true, title: 'ResponseItem' },
);

export const ResponseReply = Type.Object(
  {
    id: Type.String({ description: 'Known at every node of the cluster; says nothing to anybody else.' }),
    object: Type.Literal('response'),
    created_at: Type.Integer(),
    status: Type.Unsafe<ResponseStatus>({
      type: 'string',
      enum: ['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled'],
    }),
    model: Type.String(),
    output: Type.Array(Item),
    usage: Type.Union([ResponseUsageView, Type.Null()]),
    discedge: Type.Optional(
      Type.Object(ContextTold, {
        title: 'ResponseContext',
        description:
          'Absent where the model read the conversation word for word and nothing before it, and of a response that is retrieved.',
      }),
    ),
  },
  { additionalProperties: true, title: 'Response' },
);

export const ResponseEvent = Type.Object(
  { type: Type.String(), sequence_number: Type.Integer() },
  { additionalProperties: true, title: 'ResponseEvent' },
);

export function responseView(state: ResponseState) {
  const { status, preamble, output, said, usage, read } = state;
  const shown = Object.entries(SHOWN_DEFAULTS).map(([name, usual]) => [name, said[name] ?? usual]);
  return {
    id: state.id,
    object: 'response' as const,
    created_at: state.createdAt,
    completed_at: state.completedAt ?? null,
    status,
    error: state.error ?? null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: preamble.instructions ?? null,
    model: state.model,
    output: [...output],
    previous_response_id: state.previousResponseId ?? null,
    ...(state.conversationId !== undefined && { conversation: { id: state.conversationId } }),
    ...Object.fromEntries(shown),
    tools: preamble.tools.map(({ name, description = null, parameters = null, strict = null }) => ({
      type: 'function',
      ...{ name, description, parameters, strict },
    })),
    service_tier: 'default',
    usage: usage === undefined ? null : responseUsage(usage),
    ...(read !== undefined && !isWholeConversation(read) && { discedge: defined(contextTold(read)) }),
  };
}

export type ResponseView = ReturnType<typeof responseView>;

export function responseUsage({ inputTokens, cachedTokens, outputTokens, reasoningTokens }: ResponseUsage) {
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + outputTokens,
  };
}

import { type Static, Type } from 'typebox';
import type { Reply } from '../../../context-manager/turn/turn.ts';
import type { ContentPart } from '../../../domain/record/message-content.ts';
import { choice } from '../../requests/request-fields.ts';
import { type PlacedReply, placeTold, TurnPlaceTold } from '../../turn-place-told.ts';

const STOP_REASONS = ['end_turn', 'max_tokens', 'stop_sequence', 'tool_use'] as const;
const count = (description?: string) => Type.Integer({ minimum: 0, ...(description !== undefined && { description }) });

export const AnthropicUsage = Type.Object(
  {
    input_tokens: count('Of the prompt, those that were evaluated; 0 for a reply that was answered from its record.'),
    cache_creation_input_tokens: count(),
    cache_read_input_tokens: count('Of the prompt, those that the engine found in its KV cache.'),
    output_tokens: count(),
  },
  { title: 'AnthropicUsage' },
);

export const ReplyBlock = Type.Union([
  Type.Object({ type: choice(['text']), text: Type.String(), citations: Type.Null() }),
  Type.Object({ type: choice(['thinking']), thinking: Type.String(), signature: Type.String() }),
  Type.Object({
    type: choice(['tool_use']),
    id: Type.String(),
    name: Type.String(),
    input: Type.Record(Type.String(), Type.Unknown()),
  }),
]);
export type ReplyBlock = Static<typeof ReplyBlock>;

export const AnthropicReply = Type.Object(
  {
    id: Type.String(),
    type: choice(['message']),
    role: choice(['assistant']),
    model: Type.String(),
    content: Type.Array(ReplyBlock),
    stop_reason: Type.Union([choice(STOP_REASONS), Type.Null()]),
    stop_sequence: Type.Union([Type.String(), Type.Null()]),
    usage: AnthropicUsage,
    discedge: Type.Optional(TurnPlaceTold),
  },
  { title: 'AnthropicMessageReply' },
);
export type AnthropicReply = Static<typeof AnthropicReply>;

/** What is the same for all of a reply. */
export interface MessageHead {
  readonly id: string;
  readonly model: string;
  readonly node: string;
}

/** With a place where it is stored. */
export function anthropicReply({ id, model, node }: MessageHead, reply: PlacedReply): AnthropicReply {
  return {
    ...{ id, type: 'message', role: 'assistant', model },
    content: blocksOf(reply),
    ...stopOf(reply),
    usage: usageOf(reply),
    ...placeTold(reply, node),
  };
}

/** A reply of nothing has no block, as with Anthropic. */
export function blocksOf({ parts }: Pick<Reply, 'parts'>): ReplyBlock[] {
  return parts.flatMap((part) => blockOf(part) ?? []);
}

export function stopOf({ stop, parts }: Pick<Reply, 'stop' | 'parts'>) {
  const reason = {
    end: parts.some(({ type }) => type === 'tool-call') ? ('tool_use' as const) : ('end_turn' as const),
    limit: 'max_tokens' as const,
    word: 'stop_sequence' as const,
  }[stop.kind];
  return { stop_reason: reason, stop_sequence: stop.kind === 'word' ? stop.word : null };
}

export function usageOf({ promptTokens, usage }: Pick<Reply, 'promptTokens' | 'usage'>): Static<typeof AnthropicUsage> {
  return {
    input_tokens: Math.max(0, promptTokens - usage.cachedTokens),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: usage.cachedTokens,
    output_tokens: usage.predictedTokens,
  };
}

function blockOf(part: ContentPart): ReplyBlock | undefined {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text, citations: null };
    case 'thinking':
      return { type: 'thinking', thinking: part.text, signature: '' };
    case 'tool-call':
      return { type: 'tool_use', id: part.callId, name: part.name, input: inputOf(part.arguments) };
    default:
      return undefined;
  }
}

/** What a model wrote that is no JSON object is given as it is, under one name: nothing is left out in silence. */
function inputOf(args: string): Record<string, unknown> {
  try {
    const input: unknown = JSON.parse(args);
    if (typeof input === 'object' && input !== null && !Array.isArray(input)) return input as Record<string, unknown>;
  } catch {
    // Cut by a limit, or no JSON to begin with.
  }
  return args.trim() === '' ? {} : { arguments: args };
}

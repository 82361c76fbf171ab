import { Type } from 'typebox';
import type { PartDelta } from '../../../context-manager/turn/reply/reply-parts.ts';
import type { ReplyPiece } from '../../../context-manager/turn/turn.ts';
import type { DiscedgeError } from '../../../domain/errors.ts';
import type { ServerSentEvent } from '../../event-stream.ts';
import { OF_A_TURN } from '../../possible-errors.ts';
import { choice } from '../../requests/request-fields.ts';
import type { TurnStream } from '../../serve-turn.ts';
import { type PlacedReply, placeTold, TurnPlaceTold } from '../../turn-place-told.ts';
import { anthropicError, anthropicErrorOf } from './error-envelope.ts';
import { AnthropicReply, AnthropicUsage, type MessageHead, ReplyBlock, stopOf, usageOf } from './message-reply.ts';

const index = () => Type.Integer({ minimum: 0 });

export const MessageEvent = Type.Union(
  [
    Type.Object({ type: choice(['message_start']), message: AnthropicReply }),
    Type.Object({ type: choice(['ping', 'message_stop']) }),
    Type.Object({ type: choice(['content_block_start']), index: index(), content_block: ReplyBlock }),
    Type.Object({
      type: choice(['content_block_delta']),
      index: index(),
      delta: Type.Union([
        Type.Object({ type: choice(['text_delta']), text: Type.String() }),
        Type.Object({ type: choice(['thinking_delta']), thinking: Type.String() }),
        Type.Object({ type: choice(['input_json_delta']), partial_json: Type.String() }),
      ]),
    }),
    Type.Object({ type: choice(['content_block_stop']), index: index() }),
    Type.Object({
      type: choice(['message_delta']),
      delta: Type.Object({
        stop_reason: choice(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use']),
        stop_sequence: Type.Union([Type.String(), Type.Null()]),
      }),
      usage: AnthropicUsage,
      discedge: Type.Optional(TurnPlaceTold),
    }),
    Type.Object(anthropicErrorOf([...OF_A_TURN, 'internal_error']).properties, {
      description: 'The last event of a reply that had begun and could not be finished.',
    }),
  ],
  { title: 'AnthropicMessageEvent', description: 'The data of one event; its type is the event’s too.' },
);

/** The events of one reply, a block for each of its parts. */
export class MessageStream implements TurnStream<PlacedReply> {
  readonly #head: MessageHead;
  #hasBegun = false;
  #index = -1;

  constructor(head: MessageHead) {
    this.#head = head;
  }

  part({ parts = [], promptTokens }: ReplyPiece): readonly ServerSentEvent[] {
    return [...this.#begin(promptTokens), ...parts.flatMap((delta) => this.#delta(delta))];
  }

  end(reply: PlacedReply): readonly ServerSentEvent[] {
    return [
      ...this.#begin(reply.promptTokens),
      ...this.#stopBlock(),
      event({
        type: 'message_delta',
        delta: stopOf(reply),
        usage: usageOf(reply),
        ...placeTold(reply, this.#head.node),
      }),
      event({ type: 'message_stop' }),
    ];
  }

  error(error: DiscedgeError): readonly ServerSentEvent[] {
    return [event(anthropicError(error))];
  }

  #begin(promptTokens: number): readonly ServerSentEvent[] {
    if (this.#hasBegun) return [];
    this.#hasBegun = true;
    const { id, model } = this.#head;
    const usage = {
      ...{ input_tokens: promptTokens, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 },
    };
    const message = {
      ...{ id, type: 'message', role: 'assistant', model, content: [] },
      ...{ stop_reason: null, stop_sequence: null, usage },
    };
    return [event({ type: 'message_start', message }), event({ type: 'ping' })];
  }

  #delta(delta: PartDelta): readonly ServerSentEvent[] {
    const isNew = delta.index !== this.#index;
    const before = isNew ? this.#stopBlock() : [];
    this.#index = delta.index;
    const start = isNew
      ? [event({ type: 'content_block_start', index: delta.index, content_block: emptyBlock(delta) })]
      : [];
    const said = saidBy(delta);
    const more = said === undefined ? [] : [event({ type: 'content_block_delta', index: delta.index, delta: said })];
    return [...before, ...start, ...more];
  }

  #stopBlock(): readonly ServerSentEvent[] {
    return this.#index === -1 ? [] : [event({ type: 'content_block_stop', index: this.#index })];
  }
}

function event(data: { readonly type: string; readonly [field: string]: unknown }): ServerSentEvent {
  return { event: data.type, data };
}

function emptyBlock(delta: PartDelta): ReplyBlock {
  switch (delta.type) {
    case 'text':
      return { type: 'text', text: '', citations: null };
    case 'thinking':
      return { type: 'thinking', thinking: '', signature: '' };
    case 'tool-call':
      return { type: 'tool_use', id: delta.callId, name: delta.name, input: {} };
    default:
      return delta satisfies never;
  }
}

function saidBy(delta: PartDelta): object | undefined {
  switch (delta.type) {
    case 'text':
      return delta.text === '' ? undefined : { type: 'text_delta', text: delta.text };
    case 'thinking':
      return delta.text === '' ? undefined : { type: 'thinking_delta', thinking: delta.text };
    case 'tool-call':
      return delta.arguments === '' ? undefined : { type: 'input_json_delta', partial_json: delta.arguments };
    default:
      return delta satisfies never;
  }
}

import { type Static, Type } from 'typebox';
import type { PartDelta } from '../../../../context-manager/turn/reply/reply-parts.ts';
import type { ReplyPiece } from '../../../../context-manager/turn/turn.ts';
import { OF_A_TURN } from '../../../possible-errors.ts';
import { choice } from '../../../requests/request-fields.ts';
import type { TurnStream } from '../../../serve-turn.ts';
import { type PlacedReply, placeTold, TurnPlaceTold } from '../../../turn-place-told.ts';
import { openAiErrorFields, openAiErrorOf } from '../error-envelope.ts';
import { Logprobs, logprobsIn } from '../logprobs.ts';
import { Usage, usageOf } from '../usage.ts';
import type { ChatBody } from './chat-body.ts';
import { type ChatHead, finishReason, withoutUnasked } from './chat-reply.ts';

const ToolCallDelta = Type.Object({
  index: Type.Integer({ minimum: 0 }),
  id: Type.Optional(Type.String()),
  type: Type.Optional(choice(['function'])),
  function: Type.Object({ name: Type.Optional(Type.String()), arguments: Type.String() }),
});

const Delta = Type.Object({
  role: Type.Optional(choice(['assistant'])),
  content: Type.Optional(Type.String()),
  reasoning_content: Type.Optional(Type.String()),
  tool_calls: Type.Optional(Type.Array(ToolCallDelta)),
});
type Delta = Static<typeof Delta>;

const ChatChunk = Type.Object(
  {
    id: Type.String(),
    object: choice(['chat.completion.chunk']),
    created: Type.Integer(),
    model: Type.String(),
    choices: Type.Array(
      Type.Object({
        index: Type.Integer({ minimum: 0 }),
        delta: Delta,
        logprobs: Type.Union([Logprobs, Type.Null()]),
        finish_reason: Type.Union([choice(['stop', 'length', 'tool_calls']), Type.Null()]),
        discedge: Type.Optional(TurnPlaceTold),
      }),
      { description: 'One, or none in the event that has the usage.' },
    ),
    usage: Type.Optional(Usage),
  },
  { title: 'ChatCompletionChunk' },
);

const ChatFailure = Type.Object(openAiErrorOf([...OF_A_TURN, 'internal_error']).properties, {
  title: 'ChatCompletionFailure',
  description: 'The last event of a reply that had begun and could not be finished.',
});

export const ChatEvent = Type.Union([ChatChunk, ChatFailure, Type.Literal('[DONE]')], {
  title: 'ChatCompletionEvent',
  description: 'The data of one event: chunks and at last `[DONE]`, or what went wrong.',
});

/** The events of one request's replies, which may come side by side: whose the next piece is, is said before it. */
export class ChatStream implements TurnStream<readonly PlacedReply[]> {
  readonly #head: ChatHead;
  readonly #body: ChatBody;
  readonly #choices: ChoiceDeltas[] = [];
  #index = 0;

  constructor(head: ChatHead, body: ChatBody) {
    this.#head = head;
    this.#body = body;
  }

  /** The next piece is of this choice. */
  next(index: number): void {
    this.#index = index;
  }

  part(piece: ReplyPiece) {
    const deltas = this.#choice(this.#index).of(piece.parts ?? []);
    const logprobs = this.#body.logprobs ? withoutUnasked(logprobsIn(piece.fields), this.#body) : undefined;
    // What is certain of ids may come before what is certain of text.
    if (deltas.length === 0 && logprobs === undefined) return [];
    const told = deltas.length === 0 ? [{}] : deltas;
    return told.map((delta, at) => this.#chunk(this.#index, { delta, logprobs: at === 0 ? (logprobs ?? null) : null }));
  }

  end(replies: readonly PlacedReply[]) {
    const { node } = this.#head;
    const ends = replies.map((reply, index) => {
      const delta = this.#choice(index).begin();
      return this.#chunk(index, { delta, finish_reason: finishReason(reply), ...placeTold(reply, node) });
    });
    const usage = this.#body.stream_options?.include_usage
      ? [{ data: { ...this.#shared(), choices: [], usage: usageOf(replies) } }]
      : [];
    return [...ends, ...usage, { data: '[DONE]' }];
  }

  error = (error: Parameters<TurnStream<unknown>['error']>[0]) => [{ data: { error: openAiErrorFields(error) } }];

  #choice(index: number): ChoiceDeltas {
    this.#choices[index] ??= new ChoiceDeltas();
    return this.#choices[index];
  }

  #chunk(index: number, choice: object) {
    return { data: { ...this.#shared(), choices: [{ index, logprobs: null, finish_reason: null, ...choice }] } };
  }

  #shared() {
    const { node: _, ...head } = this.#head;
    return { ...head, object: 'chat.completion.chunk' };
  }
}

/** One reply's deltas: its first says who speaks, and a tool call's first what is called. */
class ChoiceDeltas {
  readonly #calls = new Map<number, number>();
  #begun = false;

  /** What the first delta says before anything else; nothing later. */
  begin(): Delta {
    const first: Delta = this.#begun ? {} : { role: 'assistant', content: '' };
    this.#begun = true;
    return first;
  }

  of(parts: readonly PartDelta[]): Delta[] {
    return parts.map((part) => ({ ...this.begin(), ...this.#delta(part) }));
  }

  #delta(part: PartDelta): Delta {
    if (part.type !== 'tool-call')
      return part.type === 'text' ? { content: part.text } : { reasoning_content: part.text };
    const known = this.#calls.get(part.index);
    if (known !== undefined) return { tool_calls: [{ index: known, function: { arguments: part.arguments } }] };
    const index = this.#calls.size;
    this.#calls.set(part.index, index);
    const called = { name: part.name, arguments: part.arguments };
    return { tool_calls: [{ index, id: part.callId, type: 'function', function: called }] };
  }
}

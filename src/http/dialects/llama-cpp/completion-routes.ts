import type { AppParts } from '../../app-parts.ts';
import { OF_A_TURN } from '../../possible-errors.ts';
import { type ServedTurn, serveTurn, type TurnStream } from '../../serve-turn.ts';
import type { TypedApp } from '../../typed-app.ts';
import { CompletionBody } from './completion-body.ts';
import { CompletionEvent, completionFailure } from './completion-events.ts';
import { type Answered, CompletionReply, completionReply } from './completion-reply.ts';
import { completionOf } from './completion-request.ts';

/** llama.cpp's `/completion`, with sessions: one turn of a conversation. */
export function completionRoutes(app: TypedApp, parts: AppParts): void {
  const { environment } = parts.node;
  const schema = {
    tags: ['turns'],
    summary: 'Take one turn',
    description:
      'With `stream: true` the reply is a stream of server-sent events; the last one carries every field of the reply. A turn that waits for more than five seconds has its headers sent, and a comment at least every 15 seconds; an error that is found later is the last event.',
    body: CompletionBody,
    response: {
      200: {
        description: 'Whole, or with `stream: true` as events, of which the schema is that of their data.',
        content: { 'application/json': { schema: CompletionReply }, 'text/event-stream': { schema: CompletionEvent } },
      },
    },
    errors: OF_A_TURN,
  };
  for (const [url, operationId] of [
    ['/completion', 'takeTurn'],
    ['/completions', 'takeTurnAtCompletions'],
  ] as const) {
    app.post(url, { schema: { ...schema, operationId } }, async (request, reply) =>
      serveTurn({ request, reply, environment }, completion(request.body, parts)),
    );
  }
}

/** What the turn resolves with: all that its reply is made of but what is known of the request. */
type Done = Omit<Answered, 'requestBytes'>;

function completion(body: CompletionBody, { models, options }: AppParts): ServedTurn<Done, CompletionReply> {
  const { name: model, contextManager } = models.find(body.model);
  const { kind, request } = completionOf(body, options, contextManager);
  const rest = { body, model, node: options.nodeId };
  return {
    async run(observer) {
      if (kind === 'forward') {
        return { reply: await contextManager.forward(request, observer), turn: undefined, ...rest };
      }
      const turn = await contextManager.takeTurn(request, observer);
      return { reply: turn, turn, ...rest };
    },
    whole: (done, told) => completionReply({ ...done, ...told }),
    stream: request.stream ? STREAM : undefined,
  };
}

const STREAM: TurnStream<Done> = {
  part({ text, ids, fields }) {
    if (text === '' && ids.length === 0) return [];
    return [{ data: { ...fields, index: 0, content: text, tokens: ids, stop: false } }];
  },
  end: (done, told) => [{ data: { ...completionReply({ ...done, ...told }), content: '' } }],
  error: (error) => [{ data: completionFailure(error) }],
};

import type { FastifyRequest } from 'fastify';
import { userOf } from '../../../domain/principals/principal.ts';
import type { AppParts } from '../../app-parts.ts';
import { OF_A_TURN } from '../../possible-errors.ts';
import { type ServedTurn, serveTurn } from '../../serve-turn.ts';
import type { TypedApp } from '../../typed-app.ts';
import { CompletionBody } from './completion-body.ts';
import { CompletionEvent } from './completion-events.ts';
import { CompletionReply, completionReply } from './completion-reply.ts';
import { completionOf } from './completion-request.ts';
import { completionStream, type Done } from './completion-stream.ts';
import { onlyFields } from './response-fields.ts';

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
        description:
          'Whole, or with `stream: true` as events, of which the schema is that of their data. With `response_fields` only what these name is left of the reply, under their names.',
        content: { 'application/json': { schema: CompletionReply }, 'text/event-stream': { schema: CompletionEvent } },
      },
    },
    errors: OF_A_TURN,
  };
  for (const [url, operationId] of [
    ['/completion', 'takeTurn'],
    ['/completions', 'takeTurnAtCompletions'],
  ] as const) {
    app.post(url, { config: { isTurn: true }, schema: { ...schema, operationId } }, async (request, reply) => {
      const answer = await serveTurn({ request, reply, environment }, completion(request, parts));
      // Of a reply that the client wants in part the schema does not hold; of an error it does.
      if (request.body.response_fields?.length)
        reply.type('application/json; charset=utf-8').serializer(JSON.stringify);
      return answer;
    });
  }
}

function completion(
  { body, principal }: FastifyRequest<{ Body: CompletionBody }>,
  { models, options }: AppParts,
): ServedTurn<Done, CompletionReply> {
  const { name: model, contextManager } = models.find(body.model);
  const { kind, request } = completionOf(body, {
    options,
    principal,
    defaultMode: contextManager.defaultMode,
  });
  const rest = { body, model, node: options.nodeId, userId: userOf(principal, body.user_id) };
  return {
    async run(observer) {
      if (kind === 'forward') {
        const reply = await contextManager.forward(request, observer);
        return { reply, turn: undefined, prompt: reply.promptText, ...rest };
      }
      const turn = await (request.maxTokens === 0
        ? contextManager.evaluate(request, observer)
        : contextManager.takeTurn(request, observer));
      return { reply: turn, turn, prompt: body.prompt as string, ...rest };
    },
    whole: (done, told) =>
      onlyFields(completionReply({ ...done, ...told }), body.response_fields ?? []) as CompletionReply,
    stream: request.stream ? completionStream(body) : undefined,
  };
}

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { TurnObserver } from '../../../context-manager/turn/turn.ts';
import type { AppParts } from '../../app-parts.ts';
import { clientGone } from '../../client-gone.ts';
import { asDiscedgeError, errorBody } from '../../error-reply.ts';
import { EventStream } from '../../event-stream.ts';
import type { TypedApp } from '../../typed-app.ts';
import { CompletionReply, completionReply } from './completion-reply.ts';
import { completionOf, withoutNulls } from './completion-request.ts';
import { CompletionBody } from './completion-schema.ts';

/** llama.cpp's `/completion`, with sessions: one turn of a conversation. */
export function completionRoutes(app: TypedApp, parts: AppParts): void {
  for (const url of ['/completion', '/completions']) {
    app.post(
      url,
      {
        schema: {
          tags: ['turns'],
          summary: 'Take one turn',
          description:
            'With `stream: true` the reply is a stream of server-sent events; the last one carries every field of the reply.',
          body: CompletionBody,
          response: { 200: CompletionReply },
        },
        preValidation: async (request) => {
          request.body = withoutNulls(request.body) as CompletionBody;
        },
      },
      async (request, reply) =>
        request.body.stream ? streamTurn(parts, request, reply) : wholeTurn(parts, request, reply),
    );
  }
}

type CompletionRequest = FastifyRequest<{ Body: CompletionBody }>;

async function wholeTurn(parts: AppParts, request: CompletionRequest, reply: FastifyReply): Promise<CompletionReply> {
  return complete(parts, request, { part: () => {}, gone: clientGone(reply) });
}

async function streamTurn(parts: AppParts, request: CompletionRequest, reply: FastifyReply): Promise<FastifyReply> {
  const events = new EventStream(reply);
  const gone = clientGone(reply);
  try {
    const whole = await complete(parts, request, {
      part: (content, tokens, fields) => {
        if (content !== '' || tokens.length > 0) events.send({ ...fields, index: 0, content, tokens, stop: false });
      },
      gone,
    });
    events.send({ ...whole, content: '' });
  } catch (error) {
    if (!events.begun) throw error;
    events.send(errorBody(asDiscedgeError(error, parts.node.environment.logger, request)));
  }
  events.end();
  return reply;
}

async function complete(
  { models, options }: AppParts,
  { body, bodyBytes }: CompletionRequest,
  observer: TurnObserver,
): Promise<CompletionReply> {
  const { name, contextManager } = models.find(body.model);
  const { kind, request } = completionOf(body, options, contextManager);
  const rest = { body, requestBytes: bodyBytes, model: name, node: options.nodeId };
  if (kind === 'forward') {
    return completionReply({ reply: await contextManager.forward(request, observer), turn: undefined, ...rest });
  }
  const turn = await contextManager.takeTurn(request, observer);
  return completionReply({ reply: turn, turn, ...rest });
}

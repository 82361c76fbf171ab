import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AppParts } from '../../app-parts.ts';
import { clientGone } from '../../client-gone.ts';
import { asDiscedgeError, errorBody } from '../../error-reply.ts';
import { EventStream } from '../../event-stream.ts';
import type { TypedApp } from '../../typed-app.ts';
import { completionReply } from './completion-reply.ts';
import { turnRequestOf, withoutNulls } from './completion-request.ts';
import { CompletionBody, CompletionReply } from './completion-schema.ts';

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
  const { contextManager, defaultMode } = parts.models.find(request.body.model);
  const turn = turnRequestOf(request.body, { ...parts.options, defaultMode });
  const done = await contextManager.takeTurn(turn, { part: () => {}, gone: clientGone(reply) });
  return replyOf(parts, request, done);
}

async function streamTurn(parts: AppParts, request: CompletionRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { contextManager, defaultMode } = parts.models.find(request.body.model);
  const turn = turnRequestOf(request.body, { ...parts.options, defaultMode });
  const events = new EventStream(reply);
  const gone = clientGone(reply);
  try {
    const done = await contextManager.takeTurn(turn, {
      part: (content, tokens, fields) => {
        if (content !== '' || tokens.length > 0) events.send({ ...fields, index: 0, content, tokens, stop: false });
      },
      gone,
    });
    events.send({
      ...replyOf(parts, request, done),
      content: '',
      tokens: request.body.return_tokens ? done.replyIds : [],
    });
  } catch (error) {
    if (!events.begun) throw error;
    events.send(errorBody(asDiscedgeError(error, parts.node.environment.logger, request)));
  }
  events.end();
  return reply;
}

function replyOf(
  parts: AppParts,
  request: CompletionRequest,
  done: Parameters<typeof completionReply>[0],
): CompletionReply {
  return completionReply(done, {
    model: parts.models.find(request.body.model).name,
    node: parts.options.nodeId,
    requestBytes: request.bodyBytes,
    returnTokens: request.body.return_tokens ?? false,
  });
}

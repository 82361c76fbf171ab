import type { FastifyRequest } from 'fastify';
import type { ContextManager } from '../../../context-manager/context-manager.ts';
import type { TurnObserver } from '../../../context-manager/turn/turn.ts';
import type { TipRepeat } from '../../../domain/session/turn-decision.ts';
import type { AppParts } from '../../app-parts.ts';
import { OF_A_TURN } from '../../possible-errors.ts';
import { sentOf } from '../../requests/sent-before.ts';
import { type ServedTurn, serveTurn } from '../../serve-turn.ts';
import type { PlacedReply } from '../../turn-place-told.ts';
import type { TypedApp } from '../../typed-app.ts';
import { AnthropicReply, anthropicReply, type MessageHead } from './message-reply.ts';
import { type MessageRequest, messageRequest } from './message-request.ts';
import { MessageEvent, MessageStream } from './message-stream.ts';
import { MessagesBody } from './messages-body.ts';

const ID_BYTES = 12;

/** Anthropic's messages: clients send their whole history, and the node goes on from what it has of it. */
export function messagesRoute(app: TypedApp, parts: AppParts): void {
  const { environment } = parts.node;
  app.post(
    '',
    {
      config: { isTurn: true },
      schema: {
        operationId: 'createAnthropicMessage',
        tags: ['turns'],
        summary: "Answer a conversation, in Anthropic's form",
        description:
          'The longest stored conversation that is a prefix of `messages`, message by message, is gone on from by its exact ids. With `stream: true` the reply is a stream of server-sent events.',
        body: MessagesBody,
        response: {
          200: {
            description: 'Whole, or with `stream: true` as events, of which the schema is that of their data.',
            content: { 'application/json': { schema: AnthropicReply }, 'text/event-stream': { schema: MessageEvent } },
          },
        },
        errors: OF_A_TURN,
      },
    },
    async (request, reply) => serveTurn({ request, reply, environment }, message(request, parts)),
  );
}

function message(
  { body, headers, principal }: FastifyRequest<{ Body: MessagesBody }>,
  { models, node, options }: AppParts,
): ServedTurn<PlacedReply, AnthropicReply> {
  const { name: model, contextManager } = models.find(body.model);
  const asked = messageRequest(body, principal, options);
  const sent = sentOf(headers);
  const id = `msg_${Buffer.from(node.environment.random.bytes(ID_BYTES)).toString('hex')}`;
  const head: MessageHead = { id, model, node: options.nodeId };
  return {
    run: (observer) => answer(asked, { contextManager, sent, observer }),
    whole: (reply) => anthropicReply(head, reply),
    stream: body.stream ? new MessageStream(head) : undefined,
  };
}

function answer(
  { kind, request }: MessageRequest,
  {
    contextManager,
    sent,
    observer,
  }: { readonly contextManager: ContextManager; readonly sent: TipRepeat; readonly observer: TurnObserver },
): Promise<PlacedReply> {
  if (kind === 'forward') return contextManager.forward(request, observer);
  return contextManager.conversations.run(request, sent, observer.gone, (placed) =>
    contextManager.takeTurn(placed, observer),
  );
}

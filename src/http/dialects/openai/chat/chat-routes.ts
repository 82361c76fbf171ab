import type { FastifyRequest } from 'fastify';
import type { ContextManager } from '../../../../context-manager/context-manager.ts';
import type { TurnObserver } from '../../../../context-manager/turn/turn.ts';
import type { AppParts } from '../../../app-parts.ts';
import { OF_A_TURN } from '../../../possible-errors.ts';
import { sentOf } from '../../../sent-before.ts';
import { type ServedTurn, serveTurn } from '../../../serve-turn.ts';
import type { PlacedReply } from '../../../turn-place-told.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { allOver } from '../side-by-side.ts';
import { ChatBody } from './chat-body.ts';
import { ChatCompletion, type ChatHead, chatCompletion } from './chat-reply.ts';
import { type ChatRequest, chatRequests } from './chat-request.ts';
import { ChatEvent, ChatStream } from './chat-stream.ts';

const ID_BYTES = 12;

/** OpenAI's chat completions: clients send their whole history, and the node goes on from what it has of it. */
export function chatRoutes(app: TypedApp, parts: AppParts): void {
  const { environment } = parts.node;
  app.post(
    '/chat/completions',
    {
      schema: {
        operationId: 'createChatCompletion',
        tags: ['turns'],
        summary: 'Answer a conversation',
        description:
          'The longest stored conversation that is a prefix of `messages`, message by message, is gone on from by its exact ids. With `stream: true` the reply is a stream of server-sent events.',
        body: ChatBody,
        response: {
          200: {
            description: 'Whole, or with `stream: true` as events, of which the schema is that of their data.',
            content: { 'application/json': { schema: ChatCompletion }, 'text/event-stream': { schema: ChatEvent } },
          },
        },
        errors: OF_A_TURN,
      },
    },
    async (request, reply) => serveTurn({ request, reply, environment }, chat(request, parts)),
  );
}

function chat(
  { body, headers, principal }: FastifyRequest<{ Body: ChatBody }>,
  { models, node, options }: AppParts,
): ServedTurn<readonly PlacedReply[], ChatCompletion> {
  const { name: model, contextManager } = models.find(body.model);
  const requests = chatRequests(body, { sent: sentOf(headers), principal }, options);
  const { clock, random } = node.environment;
  const id = `chatcmpl-${Buffer.from(random.bytes(ID_BYTES)).toString('hex')}`;
  const head: ChatHead = { id, created: Math.floor(clock.now() / 1000), model, node: options.nodeId };
  const stream = body.stream ? new ChatStream(head, body) : undefined;
  return {
    run: (observer) =>
      allOver(requests.map((request, index) => answer(request, contextManager, ofChoice(index, observer, stream)))),
    whole: (replies) => chatCompletion(head, replies, body),
    stream,
  };
}

function answer(asked: ChatRequest, contextManager: ContextManager, observer: TurnObserver): Promise<PlacedReply> {
  switch (asked.kind) {
    case 'forward':
      return contextManager.forward(asked.request, observer);
    case 'turn':
      return contextManager.takeTurn(asked.request, observer);
    case 'whole':
      return contextManager.conversations.run(asked.request, asked.sent, observer.gone, (request) =>
        contextManager.takeTurn(request, observer),
      );
    default:
      return asked satisfies never;
  }
}

function ofChoice(index: number, observer: TurnObserver, stream: ChatStream | undefined): TurnObserver {
  return {
    ...observer,
    part(piece) {
      stream?.next(index);
      observer.part(piece);
    },
  };
}

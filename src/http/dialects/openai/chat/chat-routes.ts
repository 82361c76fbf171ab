import type { FastifyRequest } from 'fastify';
import type { ContextManager } from '../../../../context-manager/context-manager.ts';
import { goesOn } from '../../../../context-manager/turn/request-rules.ts';
import type { TurnObserver, TurnRequest } from '../../../../context-manager/turn/turn.ts';
import type { SessionId } from '../../../../domain/identifiers.ts';
import { userOf } from '../../../../domain/principals/principal.ts';
import { ANSWER_ID_BYTES, answerIdFrom, answerIdOf } from '../../../../domain/record/answer-id.ts';
import type { AppParts } from '../../../app-parts.ts';
import { OF_A_TURN } from '../../../possible-errors.ts';
import { sentOf } from '../../../requests/sent-before.ts';
import { type ServedTurn, serveTurn } from '../../../serve-turn.ts';
import type { PlacedReply } from '../../../turn-place-told.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { metadataExtension } from '../metadata.ts';
import type { ResponseIds, ResponseRef } from '../responses/response-ref.ts';
import { allOver } from '../side-by-side.ts';
import { ChatBody } from './chat-body.ts';
import { chatExtensions } from './chat-note.ts';
import { ChatCompletion, type ChatHead, chatCompletion } from './chat-reply.ts';
import { type ChatRequest, chatRequests } from './chat-request.ts';
import { ChatEvent, ChatStream } from './chat-stream.ts';
import { CompletionId } from './completion-id.ts';

const ID_BYTES = 12;

/** OpenAI's chat completions: clients send their whole history, and the node goes on from what it has of it. */
export function chatRoutes(app: TypedApp, parts: AppParts, ids: ResponseIds): void {
  const { environment } = parts.node;
  app.post(
    '/chat/completions',
    {
      config: { isTurn: true },
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
    async (request, reply) => serveTurn({ request, reply, environment }, chat(request, parts, ids)),
  );
}

function chat(
  { body, headers, principal }: FastifyRequest<{ Body: ChatBody }>,
  { models, node, options }: AppParts,
  ids: ResponseIds,
): ServedTurn<readonly PlacedReply[], ChatCompletion> {
  const { name: model, contextManager, keygroup } = models.find(body.model);
  const requests = chatRequests(body, { sent: sentOf(headers), principal }, options);
  const { clock, random } = node.environment;
  const createdAt = Math.floor(clock.now() / 1000);
  const metadata = body.metadata && metadataExtension(body.metadata);
  const key = { keygroup, userId: userOf(principal, body.user) };
  const refs = requests.map(() => ({
    ...{ ...key, sessionId: random.uuid() as SessionId },
    answerId: answerIdFrom(random.bytes(ANSWER_ID_BYTES)),
  }));
  const kept = new CompletionId(ids, refs);
  const unkept = `chatcmpl-${Buffer.from(random.bytes(ID_BYTES)).toString('hex')}`;
  const isKept = requests.every(({ kind }) => kind !== 'forward');
  const head: ChatHead = {
    get id() {
      return isKept ? kept.text : unkept;
    },
    ...{ created: createdAt, model, node: options.nodeId },
  };
  const stream = body.stream ? new ChatStream(head, body) : undefined;
  const answerOne = async (request: ChatRequest, choice: number, observer: TurnObserver): Promise<PlacedReply> => {
    const extensions = chatExtensions((refs[choice] as ResponseRef).answerId, { createdAt, metadata });
    try {
      return await answer(request, { contextManager, extensions, kept, choice, observer });
    } catch (error) {
      kept.fail();
      throw error;
    }
  };
  return {
    run: (observer) =>
      allOver(requests.map((request, choice) => answerOne(request, choice, ofChoice(choice, observer, stream)))),
    whole: (replies) => chatCompletion(head, replies, body),
    stream,
  };
}

function answer(
  asked: ChatRequest,
  {
    contextManager,
    extensions,
    kept,
    choice,
    observer: reader,
  }: {
    readonly contextManager: ContextManager;
    readonly extensions: NonNullable<TurnRequest['extensions']>;
    readonly kept: CompletionId;
    readonly choice: number;
    readonly observer: TurnObserver;
  },
): Promise<PlacedReply> {
  const observer: TurnObserver = {
    ...reader,
    begun({ answered }) {
      const known = answered && answerIdOf(answered.record);
      if (known !== undefined) kept.answeredAs(choice, known);
    },
  };
  switch (asked.kind) {
    case 'forward':
      return contextManager.forward(asked.request, reader);
    case 'turn': {
      const request = inNamedSession(asked.request, kept.sessionOf(choice));
      if (request.sessionId !== undefined) kept.place(choice, request.sessionId);
      return contextManager.takeTurn({ ...request, extensions }, observer);
    }
    case 'whole':
      return contextManager.conversations.run(
        { ...asked.request, extensions },
        asked.sent,
        observer.gone,
        async (request) => {
          kept.place(choice, request.sessionId as SessionId);
          await kept.placed;
          return contextManager.takeTurn(request, observer);
        },
      );
    default:
      return asked satisfies never;
  }
}

/** A turn that opens a session under any id opens it under this one. */
function inNamedSession(request: TurnRequest, drawn: SessionId): TurnRequest {
  const { sessionId, place } = request;
  if (sessionId !== undefined || goesOn(place)) return request;
  return { ...request, sessionId: drawn, place: 'opens' in place ? { ...place, drawn: true } : place };
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

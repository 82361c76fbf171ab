import { type Static, Type } from 'typebox';
import type { Principal } from '../../../../domain/principals/principal.ts';
import { textOf } from '../../../../domain/record/message-content.ts';
import type { Message } from '../../../../domain/record/turn-record.ts';
import { clientGone } from '../../../connections/client-gone.ts';
import { OF_A_SESSION, OF_A_TURN } from '../../../possible-errors.ts';
import { requireKnown } from '../../../requests/parameters.ts';
import { choice } from '../../../requests/request-fields.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { Metadata } from '../metadata.ts';
import { PageQuery, page, pageOf } from '../pages.ts';
import type { ResponseIds } from '../responses/response-ref.ts';
import { sessionInPath } from '../session-in-path.ts';
import { ToolCall } from './chat-messages.ts';
import { ChatCompletion, messageOf } from './chat-reply.ts';
import type { NamedCompletion, StoredCompletions } from './stored-completions.ts';

const CompletionPath = Type.Object({ completion_id: Type.String({ minLength: 1 }) });
const StoredCompletion = Type.Object(
  { ...ChatCompletion.properties, metadata: Metadata },
  { title: 'StoredChatCompletion' },
);
const UpdateBody = Type.Object({ metadata: Metadata }, { additionalProperties: true, title: 'UpdateChatCompletion' });
const Deleted = Type.Object({
  id: Type.String(),
  object: choice(['chat.completion.deleted']),
  deleted: Type.Boolean(),
});
const StoredMessage = Type.Object(
  {
    id: Type.String(),
    role: Type.String(),
    content: Type.Union([Type.String(), Type.Null()]),
    reasoning_content: Type.Optional(Type.String()),
    tool_calls: Type.Optional(Type.Array(ToolCall)),
    tool_call_id: Type.Optional(Type.String()),
  },
  { title: 'StoredChatMessage' },
);

const OF_A_COMPLETION = [...OF_A_SESSION, 'completion_not_found'] as const;

/** OpenAI's stored chat completions, by their ids. */
export function storedCompletionRoutes(app: TypedApp, completions: StoredCompletions, ids: ResponseIds): void {
  app.get(
    '/chat/completions/:completion_id',
    {
      schema: {
        operationId: 'retrieveChatCompletion',
        tags: ['turns'],
        summary: 'A chat completion that is kept, at whichever node',
        params: CompletionPath,
        response: { 200: StoredCompletion },
        errors: OF_A_COMPLETION,
      },
    },
    async (request, reply) => completions.find(named(request), clientGone(reply)),
  );

  app.post(
    '/chat/completions/:completion_id',
    {
      schema: {
        operationId: 'updateChatCompletion',
        tags: ['turns'],
        summary: 'Give it other metadata',
        params: CompletionPath,
        body: UpdateBody,
        response: { 200: StoredCompletion },
        errors: [...OF_A_TURN, 'completion_not_found'],
      },
    },
    async (request, reply) => {
      const { body } = request;
      requireKnown(body, { known: ['metadata'], refused: {} });
      return completions.update(named(request), body.metadata, clientGone(reply));
    },
  );

  app.delete(
    '/chat/completions/:completion_id',
    {
      config: { audit: 'completion.delete', auditTarget: sessionInPath(ids) },
      schema: {
        operationId: 'deleteChatCompletion',
        tags: ['turns'],
        summary: 'Remove a chat completion from sight',
        description: 'Conversations that go on from it keep it in their context.',
        params: CompletionPath,
        response: { 200: Deleted },
        errors: [...OF_A_TURN, 'completion_not_found'],
      },
    },
    async (request, reply) => {
      await completions.delete(named(request), clientGone(reply));
      return { id: request.params.completion_id, object: 'chat.completion.deleted' as const, deleted: true };
    },
  );

  app.get(
    '/chat/completions/:completion_id/messages',
    {
      schema: {
        operationId: 'listChatMessages',
        tags: ['turns'],
        summary: 'The conversation that it answers, oldest first',
        params: CompletionPath,
        querystring: PageQuery,
        response: { 200: pageOf(StoredMessage, 'StoredChatMessageList') },
        errors: OF_A_COMPLETION,
      },
    },
    async (request, reply) => {
      const { completion_id: id } = request.params;
      const messages = await completions.messages(named(request), clientGone(reply));
      const shown = messages.map((message, index) => ({ id: `${id}-${index}`, ...viewOf(message) }));
      return page(shown, { order: 'asc', ...request.query });
    },
  );
}

function named({
  params,
  principal,
}: {
  readonly params: Static<typeof CompletionPath>;
  readonly principal: Principal;
}): NamedCompletion {
  return { id: params.completion_id, principal };
}

function viewOf({ role, content }: Message) {
  if (role === 'assistant') {
    const { refusal: _, ...said } = messageOf(
      typeof content === 'string' ? [{ type: 'text', text: content }] : content,
    );
    return said;
  }
  const [result] = typeof content === 'string' ? [] : content;
  if (result?.type === 'tool-result') return { role, content: result.output, tool_call_id: result.callId };
  return { role, content: textOf(content) };
}

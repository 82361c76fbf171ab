import { type Static, Type } from 'typebox';
import { DiscedgeError } from '../../../../domain/errors.ts';
import { type Principal, userOf } from '../../../../domain/principals/principal.ts';
import type { AppParts } from '../../../app-parts.ts';
import { clientGone } from '../../../connections/client-gone.ts';
import { OF_A_SESSION, OF_A_TURN } from '../../../possible-errors.ts';
import { requireKnown } from '../../../requests/parameters.ts';
import { userId } from '../../../requests/request-fields.ts';
import { sentOf } from '../../../requests/sent-before.ts';
import type { TypedApp } from '../../../typed-app.ts';
import { Include } from '../included.ts';
import { Metadata } from '../metadata.ts';
import { ItemPageQuery, page, pageOf } from '../pages.ts';
import type { InputItem } from '../responses/input-items.ts';
import { Item } from '../responses/response-view.ts';
import type { Responses } from '../responses/responses.ts';
import { sessionInPath } from '../session-in-path.ts';
import { Conversations, type NamedConversation } from './conversations.ts';

/** What OpenAI allows in one call. */
const ITEMS_MAX = 20;

const Items = Type.Array(Type.Unsafe<InputItem>({ type: 'object', additionalProperties: true }), {
  maxItems: ITEMS_MAX,
  description: 'Messages, function calls and their outputs; at most 20.',
});
const CreateBody = Type.Object(
  {
    items: Type.Optional(Items),
    metadata: Type.Optional(Metadata),
    user: Type.Optional(userId({ description: 'Whose it is; left out: `anonymous`.' })),
    model: Type.Optional(Type.String({ description: 'Whose contexts it is of; left out: the default model.' })),
  },
  { additionalProperties: true, title: 'CreateConversation' },
);
const UpdateBody = Type.Object({ metadata: Metadata }, { additionalProperties: true, title: 'UpdateConversation' });
const AddBody = Type.Object({ items: Items }, { additionalProperties: true, title: 'AddItems' });
const ConversationReply = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('conversation'),
    created_at: Type.Integer(),
    metadata: Type.Record(Type.String(), Type.String()),
  },
  { title: 'Conversation' },
);
const Deleted = Type.Object({ id: Type.String(), object: Type.String(), deleted: Type.Boolean() });
const ItemList = pageOf(Item, 'ConversationItemList');
const ConversationPath = Type.Object({ conversation_id: Type.String({ minLength: 1 }) });
const ItemPath = Type.Object({
  conversation_id: Type.String({ minLength: 1 }),
  item_id: Type.String({ minLength: 1 }),
});
const OF_A_CONVERSATION = [...OF_A_SESSION, 'conversation_not_found'] as const;
const OF_ITEMS = [...OF_A_TURN, 'conversation_not_found', 'item_not_found'] as const;

/** OpenAI's `/conversations` and their items. */
export function conversationsRoutes(app: TypedApp, parts: AppParts, responses: Responses): void {
  const conversations = new Conversations(parts, responses);
  const auditTarget = sessionInPath(responses.ids);

  app.post(
    '/conversations',
    {
      schema: {
        operationId: 'createConversation',
        tags: ['conversations'],
        summary: 'A new conversation, with its first items',
        body: CreateBody,
        response: { 200: ConversationReply },
        errors: OF_A_TURN,
      },
      // OpenAI's clients send no body where there is nothing to say.
      preValidation: async (request) => {
        request.body ??= {};
      },
    },
    async ({ body, headers, principal }, reply) => {
      requireKnown(body, { known: ['items', 'metadata', 'user', 'model'], refused: {} });
      const { items = [], metadata = {}, user, model } = body;
      const userId = userOf(principal, user);
      const of = { model: parts.models.find(model), userId, principal, items, metadata };
      return conversations.create(of, sentOf(headers), clientGone(reply));
    },
  );

  app.get(
    '/conversations/:conversation_id',
    {
      schema: {
        operationId: 'retrieveConversation',
        tags: ['conversations'],
        summary: 'A conversation, at whichever node',
        params: ConversationPath,
        response: { 200: ConversationReply },
        errors: OF_A_CONVERSATION,
      },
    },
    async (request, reply) => conversations.find(named(request), clientGone(reply)),
  );

  app.post(
    '/conversations/:conversation_id',
    {
      schema: {
        operationId: 'updateConversation',
        tags: ['conversations'],
        summary: 'Give it other metadata',
        params: ConversationPath,
        body: UpdateBody,
        response: { 200: ConversationReply },
        errors: OF_ITEMS,
      },
    },
    async (request, reply) => {
      const { body } = request;
      requireKnown(body, { known: ['metadata'], refused: {} });
      return conversations.update(named(request), body.metadata, clientGone(reply));
    },
  );

  app.delete(
    '/conversations/:conversation_id',
    {
      config: { audit: 'conversation.delete', auditTarget },
      schema: {
        operationId: 'deleteConversation',
        tags: ['conversations'],
        summary: 'Delete a conversation for good, its responses with it',
        params: ConversationPath,
        response: { 200: Deleted },
        errors: OF_A_CONVERSATION,
      },
    },
    async (request, reply) => {
      await conversations.delete(named(request), clientGone(reply));
      return { id: request.params.conversation_id, object: 'conversation.deleted', deleted: true };
    },
  );

  app.post(
    '/conversations/:conversation_id/items',
    {
      schema: {
        operationId: 'addItems',
        tags: ['conversations'],
        summary: 'Add items without having the model answer',
        description: 'The next response on the conversation reads them.',
        params: ConversationPath,
        querystring: Type.Object({ include: Include }),
        body: AddBody,
        response: { 200: ItemList },
        errors: OF_ITEMS,
      },
    },
    async (request, reply) => {
      const { body, headers } = request;
      requireKnown(body, { known: ['items'], refused: {} });
      if (body.items.length === 0) throw new DiscedgeError('invalid_request', 'items is empty', { param: 'items' });
      const signal = clientGone(reply);
      const added = await conversations.add(named(request), body.items, sentOf(headers), signal);
      return page(added, { limit: added.length, order: 'asc' });
    },
  );

  app.get(
    '/conversations/:conversation_id/items',
    {
      schema: {
        operationId: 'listItems',
        tags: ['conversations'],
        summary: 'Its items, newest first',
        params: ConversationPath,
        querystring: ItemPageQuery,
        response: { 200: ItemList },
        errors: [...OF_A_CONVERSATION, 'unsupported_parameter'],
      },
    },
    async (request, reply) => page(await conversations.items(named(request), clientGone(reply)), request.query),
  );

  app.get(
    '/conversations/:conversation_id/items/:item_id',
    {
      schema: {
        operationId: 'retrieveItem',
        tags: ['conversations'],
        summary: 'One of its items',
        params: ItemPath,
        querystring: Type.Object({ include: Include }),
        response: { 200: Item },
        errors: [...OF_A_CONVERSATION, 'item_not_found', 'unsupported_parameter'],
      },
    },
    async (request, reply) => conversations.item(named(request), request.params.item_id, clientGone(reply)),
  );

  app.delete(
    '/conversations/:conversation_id/items/:item_id',
    {
      config: { audit: 'item.delete', auditTarget },
      schema: {
        operationId: 'deleteItem',
        tags: ['conversations'],
        summary: 'Remove an item from sight',
        description: 'What was answered with it in sight keeps it in its context.',
        params: ItemPath,
        response: { 200: ConversationReply },
        errors: OF_ITEMS,
      },
    },
    async (request, reply) => conversations.deleteItem(named(request), request.params.item_id, clientGone(reply)),
  );
}

function named({
  params,
  principal,
}: {
  readonly params: Static<typeof ConversationPath>;
  readonly principal: Principal;
}): NamedConversation {
  return { id: params.conversation_id, principal };
}

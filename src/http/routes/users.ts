import type { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { DiscedgeError } from '../../domain/errors.ts';
import { requireAdministrable, requireOwn } from '../access/user-access.ts';
import type { AppParts } from '../app-parts.ts';
import { clientGone } from '../connections/client-gone.ts';
import { OF_THE_STORE } from '../possible-errors.ts';
import { milliseconds } from '../requests/request-fields.ts';
import type { TypedApp } from '../typed-app.ts';
import { userExportStream } from './user-export.ts';
import { ErasureReceiptReply, receiptView, UserExportReply, UserPath } from './user-views.ts';

/** Of what is made as it is sent. */
function sendJson(reply: FastifyReply, json: Readable): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(json);
}

const ReceiptPath = Type.Object({
  ...UserPath.properties,
  receipt_id: Type.String({ pattern: '^[0-9a-f]{32}$' }),
});
const EraseQuery = Type.Object({
  max_wait_ms: Type.Optional(milliseconds({ description: 'How long to wait for the nodes to confirm.' })),
});

/** What concerns a user as a whole. */
export function userRoutes(app: TypedApp, parts: AppParts): void {
  const { node, options } = parts;
  const { erasures } = node;

  app.delete(
    '/users/:user_id',
    {
      config: { access: 'principal', audit: 'user.erase' },
      schema: {
        operationId: 'eraseUser',
        tags: ['users'],
        summary: 'Erase everything of a user, on every node',
        description:
          'Sessions of all models with all that is kept of them, and documents about the user. Nothing of it is found at this node once it is answered; the others erase as soon as they hear of it, and refuse what still comes. The receipt says which nodes have confirmed. The user may begin anew, under the same ids. Its API keys are not revoked.',
        params: UserPath,
        querystring: EraseQuery,
        response: { 200: ErasureReceiptReply },
        errors: OF_THE_STORE,
      },
    },
    async ({ params, query, principal }, reply) => {
      requireAdministrable(principal, params.user_id);
      const waitMs = Math.min(query.max_wait_ms ?? options.maxWaitMs, options.maxWaitMsLimit);
      return receiptView(await erasures.erase(params.user_id, { waitMs, signal: clientGone(reply) }));
    },
  );

  app.get(
    '/users/:user_id/export',
    {
      config: { audit: 'user.export' },
      schema: {
        operationId: 'exportUser',
        tags: ['users'],
        summary: "All of a user's sessions with their exact ids, its preferences and its time to live",
        description:
          'As far as this node holds them, of all models that it serves. `POST /sessions/import` takes each of the sessions back.',
        params: UserPath,
        response: { 200: UserExportReply },
        errors: [...OF_THE_STORE, 'llm_unavailable'],
      },
    },
    async ({ params, principal }, reply) => {
      requireOwn(principal, params.user_id);
      return sendJson(reply, userExportStream(params.user_id, parts));
    },
  );

  app.get(
    '/users/:user_id/erasures/:receipt_id',
    {
      config: { access: 'principal' },
      schema: {
        operationId: 'showErasure',
        tags: ['users'],
        summary: 'Which nodes have erased a user',
        description: 'As far as this node has heard. Kept a day longer than any session may live.',
        params: ReceiptPath,
        response: { 200: ErasureReceiptReply },
        errors: [...OF_THE_STORE, 'erasure_not_found'],
      },
    },
    async ({ params, principal }) => {
      requireAdministrable(principal, params.user_id);
      const receipt = await erasures.receipt(params.user_id, params.receipt_id);
      if (receipt !== undefined) return receiptView(receipt);
      throw new DiscedgeError('erasure_not_found', 'no erasure of this user has this receipt', { param: 'receipt_id' });
    },
  );
}

import type { FastifyReply } from 'fastify';
import { type Static, Type } from 'typebox';
import { NodeSessions } from '../../context-manager/node-sessions.ts';
import { type Principal, userOf } from '../../domain/principals/principal.ts';
import type { AppParts } from '../app-parts.ts';
import { clientGone } from '../connections/client-gone.ts';
import { OF_A_MODEL, OF_A_SESSION, OF_THE_STORE } from '../possible-errors.ts';
import { contextId, milliseconds, sessionId, turnNumber, userId } from '../requests/request-fields.ts';
import { allowedTtl } from '../requests/time-to-live.ts';
import type { TypedApp } from '../typed-app.ts';
import { jsonStream } from './json-stream.ts';
import {
  CancelReply,
  ComingReply,
  DeletedReply,
  ForkReply,
  SessionExportReply,
  SessionListReply,
  SessionReply,
} from './session-schemas.ts';
import { exactTurnView, forkView, sessionView, summaryView, turnView } from './session-view.ts';

const Owner = { user_id: Type.Optional(userId({ description: 'Whose sessions; default `anonymous`.' })) };
export const SessionQuery = Type.Object({
  ...Owner,
  model: Type.Optional(
    Type.String({
      description:
        'The model whose session it is; left out: whichever holds it, the default model before the others. A session that is not here yet is looked for in the default model, unless another is named.',
    }),
  ),
});
export const SeenQuery = Type.Object({
  ...SessionQuery.properties,
  turn: Type.Optional(
    turnNumber({
      description: 'The last turn that you have seen, at whichever node: it is waited for, as turns do.',
    }),
  ),
  context_id: Type.Optional(contextId({ description: 'The same, for a turn of any branch.' })),
  max_wait_ms: Type.Optional(milliseconds({ description: 'How long to wait for it to arrive from another node.' })),
});
const ListQuery = Type.Object({
  ...Owner,
  model: Type.Optional(Type.String({ description: "Only this model's sessions; left out: those of all models." })),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1000,
      description:
        'Sessions on a page; default 100. Those of one id in several models stay together, which can make it longer.',
    }),
  ),
  after: Type.Optional(sessionId({ description: 'Go on after this session id.' })),
});
const forkTurn = turnNumber({ description: 'The last turn that the new session is to have.' });
const forkContext = contextId({
  description: 'Any turn of the branch that is meant, at or after `turn`; left out: the main line.',
});
const FORK_FIELDS = {
  session_id: Type.Optional(
    sessionId({
      description:
        'Id of the new session; left out: a new one. Choose it to be able to send the request again: then it is found done.',
    }),
  ),
  ttl_seconds: Type.Optional(
    Type.Integer({ minimum: 1, description: "How long the new session lives; left out: the node's default." }),
  ),
  max_wait_ms: Type.Optional(
    milliseconds({ description: 'How long to wait for that turn to arrive from another node.' }),
  ),
};
const ForkBody = Type.Union(
  [
    Type.Object(
      { turn: forkTurn, context_id: Type.Optional(forkContext), ...FORK_FIELDS },
      { additionalProperties: false },
    ),
    Type.Object(
      { turn: Type.Optional(forkTurn), context_id: forkContext, ...FORK_FIELDS },
      { additionalProperties: false },
    ),
  ],
  { title: 'ForkRequest' },
);
export const SessionPath = Type.Object({ session_id: sessionId() });
const LIST_LIMIT = 100;

/** The stored sessions of one user: list, show, export, fork, delete; and stopping a turn that runs. */
export function sessionRoutes(app: TypedApp, { models, options }: AppParts): void {
  const nodeSessions = new NodeSessions(models);
  /** Said where there is a choice. */
  const modelView = (model: string) => (models.all.length > 1 ? { model } : {});
  const named = ({ params, query, principal }: SessionRequest) => ({
    model: query.model,
    userId: userOf(principal, query.user_id),
    sessionId: params.session_id,
  });
  app.get(
    '/sessions',
    {
      schema: {
        operationId: 'listSessions',
        tags: ['sessions'],
        summary: "A user's sessions, by id",
        description:
          'Where `has_more` is true, go on with `next` as `after`. A page may be short, or empty, and not the last: deleted and expired sessions are passed over, a bounded number in one request.',
        querystring: ListQuery,
        response: { 200: SessionListReply },
        errors: [...OF_A_MODEL, ...OF_THE_STORE],
      },
    },
    async ({ query, principal }) => {
      const { sessions, next } = await nodeSessions.list({
        model: query.model,
        userId: userOf(principal, query.user_id),
        after: query.after,
        limit: query.limit ?? LIST_LIMIT,
      });
      const data = sessions.map(({ model, summary }) => ({ ...summaryView(summary), ...modelView(model.name) }));
      return { object: 'list' as const, data, has_more: next !== undefined, ...(next !== undefined && { next }) };
    },
  );

  const one = { params: SessionPath, querystring: SessionQuery };
  const read = { params: SessionPath, querystring: SeenQuery };
  const seen = (query: Static<typeof SeenQuery>, reply: FastifyReply) => ({
    turn: query.turn,
    contextId: query.context_id,
    maxWaitMs: Math.min(query.max_wait_ms ?? options.maxWaitMs, options.maxWaitMsLimit),
    signal: clientGone(reply),
  });

  app.get(
    '/sessions/:session_id',
    {
      schema: {
        operationId: 'showSession',
        tags: ['sessions'],
        summary: 'A session with its turns as text',
        description:
          "`turns` is the main line, which ends in `context_id`. `branches` are beside it, deepest first, each from where it parts (`parts_after`, `parts_from`); send a branch's `context_id` with a turn to go on with it. A turn whose ids could not be put into words, because the LLM Service is gone, has `text_error` in place of its text.",
        response: { 200: SessionReply },
        errors: OF_A_SESSION,
        ...read,
      },
    },
    async (request, reply) => {
      const session = named(request);
      const { name, contextManager } = await nodeSessions.modelOf(session);
      const view = await contextManager.sessions.show(session.userId, session.sessionId, seen(request.query, reply));
      return sendSession(reply, { ...modelView(name), ...sessionView(view, turnView) });
    },
  );

  app.get(
    '/sessions/:session_id/export',
    {
      config: { audit: 'session.export' },
      schema: {
        operationId: 'exportSession',
        tags: ['sessions'],
        summary: 'A session with its exact ids',
        response: { 200: SessionExportReply },
        errors: OF_A_SESSION,
        ...read,
      },
    },
    async (request, reply) => {
      const session = named(request);
      const { name, keygroup, contextManager } = await nodeSessions.modelOf(session);
      const view = await contextManager.sessions.show(session.userId, session.sessionId, seen(request.query, reply));
      return sendSession(reply, { keygroup, ...modelView(name), ...sessionView(view, exactTurnView) });
    },
  );

  app.post(
    '/sessions/:session_id/fork',
    {
      schema: {
        operationId: 'forkSession',
        tags: ['sessions'],
        summary: 'A new session that begins as this one did',
        description:
          'Turns 1 to `turn` are copied under the new id: deleting or expiring either session leaves the other whole.',
        body: ForkBody,
        response: { 200: ForkReply },
        errors: [...OF_A_SESSION, 'session_exists', 'quota_exceeded'],
        ...one,
      },
    },
    async ({ params, query, body, principal, account }, reply) => {
      const session = named({ params, query, principal });
      const { turn, context_id: contextId } = body;
      const request = {
        userId: session.userId,
        sessionId: session.sessionId,
        turn,
        contextId,
        newSessionId: body.session_id,
        ttlSeconds: allowedTtl(body.ttl_seconds, options),
        maxWaitMs: Math.min(body.max_wait_ms ?? options.maxWaitMs, options.maxWaitMsLimit),
        account,
      };
      const { name, contextManager } = await nodeSessions.modelOf(session);
      return { ...forkView(await contextManager.fork(request, clientGone(reply)), options.nodeId), ...modelView(name) };
    },
  );

  app.delete(
    '/sessions/:session_id',
    {
      config: { audit: 'session.delete' },
      schema: {
        operationId: 'deleteSession',
        tags: ['sessions'],
        summary: 'Delete a session for good',
        response: { 200: DeletedReply },
        errors: OF_A_SESSION,
        ...read,
      },
    },
    async (request, reply) => {
      const session = named(request);
      const { contextManager } = await nodeSessions.modelOf(session);
      await contextManager.sessions.delete(session.userId, session.sessionId, seen(request.query, reply));
      return { session_id: session.sessionId, deleted: true as const };
    },
  );

  app.post(
    '/sessions/:session_id/cancel',
    {
      schema: {
        operationId: 'cancelTurn',
        tags: ['sessions'],
        summary: 'Stop the turn that runs',
        description:
          '`cancelled` is true when every request of the session that was under way was stopped, and nothing is stored of any. It is false when there was none, or one was answered: its turn was stored before, or was being stored. Sent again, that one is found and replayed. Refused, and nothing stopped, where no `model` is named and several run a session of this id.',
        response: { 200: CancelReply },
        errors: [...OF_A_MODEL, ...OF_THE_STORE],
        ...one,
      },
    },
    async (request) => ({ cancelled: await nodeSessions.cancel(named(request)) }),
  );

  app.post(
    '/sessions/:session_id/coming',
    {
      schema: {
        operationId: 'sayComing',
        tags: ['sessions'],
        summary: 'Say that the next turn comes here',
        description:
          'Stores nothing, and may be said before the session has arrived. Said again within five seconds it changes nothing.',
        response: { 200: ComingReply },
        errors: [...OF_A_MODEL, ...OF_THE_STORE, 'session_deleted'],
        ...one,
      },
    },
    async (request) => {
      const session = named(request);
      const { contextManager } = await nodeSessions.holderOf(session);
      const { turn, isWarmed } = await contextManager.coming(session.userId, session.sessionId);
      return { session_id: session.sessionId, turn, warms: isWarmed };
    },
  );
}

/** A session may be of any length. */
function sendSession(
  reply: FastifyReply,
  session: Static<typeof SessionReply> | Static<typeof SessionExportReply>,
): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(jsonStream(session, ['turns', 'branches']));
}

interface SessionRequest {
  readonly params: Static<typeof SessionPath>;
  readonly query: Static<typeof SessionQuery>;
  readonly principal: Principal;
}

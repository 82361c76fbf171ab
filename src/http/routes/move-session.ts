import { Type } from 'typebox';
import { moveToModel } from '../../context-manager/model-moves.ts';
import { userOf } from '../../domain/principals/principal.ts';
import type { AppParts } from '../app-parts.ts';
import { clientGone } from '../connections/client-gone.ts';
import { OF_A_SESSION } from '../possible-errors.ts';
import { modelText, sessionId } from '../requests/request-fields.ts';
import { allowedTtl } from '../requests/time-to-live.ts';
import type { TypedApp } from '../typed-app.ts';
import { MoveReply } from './session-schemas.ts';
import { SeenQuery, SessionPath, SessionQuery } from './sessions.ts';

const { turn, max_wait_ms } = SeenQuery.properties;
const MoveQuery = Type.Object({ ...SessionQuery.properties, turn, max_wait_ms });
const MoveBody = Type.Object(
  {
    model: modelText({ description: 'The model that the session is to go on with; this node has to serve it, too.' }),
    session_id: Type.Optional(
      sessionId({
        description:
          'Id that the session has there; left out: a new one. Choose it to be able to send the request again: then it is found done.',
      }),
    ),
    ttl_seconds: Type.Optional(
      Type.Integer({ minimum: 1, description: "How long the moved session lives; left out: the node's default." }),
    ),
    delete: Type.Optional(
      Type.Boolean({
        description:
          'Whether the session is deleted where it was. Turns that are answered here meanwhile are moved, too; where they keep coming, nothing is deleted (`session_busy`).',
      }),
    ),
  },
  { additionalProperties: false, title: 'MoveRequest' },
);

/** A session goes on with another model: written anew from its texts, in the other model's ids. */
export function moveSessionRoute(app: TypedApp, { models, options }: AppParts): void {
  app.post(
    '/sessions/:session_id/move',
    {
      config: { audit: 'session.move' },
      schema: {
        operationId: 'moveSession',
        tags: ['sessions'],
        summary: 'Let a session go on with another model',
        description:
          "The main line is written anew from its texts, in the other model's ids and under its chat template; a reply that calls tools becomes a message of the turn after it. `not_carried` names what words do not carry. The session stays where it was, unless `delete` says otherwise.",
        params: SessionPath,
        querystring: MoveQuery,
        body: MoveBody,
        response: { 200: MoveReply },
        errors: [
          ...OF_A_SESSION,
          ...([
            'session_exists',
            'quota_exceeded',
            'rate_limited',
            'context_overflow',
            'unsupported_parameter',
          ] as const),
          ...(['mode_unavailable', 'llm_unavailable', 'llm_timeout', 'llm_bad_reply', 'session_busy'] as const),
          ...(['turn_conflict', 'turn_cancelled', 'overloaded'] as const),
        ],
      },
    },
    async ({ params, query, body, principal, account }, reply) => {
      const userId = userOf(principal, query.user_id);
      const signal = clientGone(reply);
      const maxWaitMs = Math.min(query.max_wait_ms ?? options.maxWaitMs, options.maxWaitMsLimit);
      const request = {
        ...{ model: query.model, userId, sessionId: params.session_id, to: models.find(body.model), account },
        seen: { turn: query.turn, maxWaitMs, signal },
        newSessionId: body.session_id,
        ttlSeconds: allowedTtl(body.ttl_seconds, options),
        deletes: body.delete ?? false,
      };
      const { moved, from, last, notCarried } = await moveToModel(request, models, signal);
      return {
        session_id: moved.key.sessionId,
        user_id: userId,
        model: request.to.name,
        mode: moved.mode,
        turn: moved.turn,
        context_id: moved.contextId,
        expires_at: new Date(moved.expiresAtMs).toISOString(),
        node: options.nodeId,
        replayed: moved.replayed,
        dropped_turns: moved.droppedTurns,
        not_carried: [...notCarried],
        moved_from: {
          session_id: params.session_id,
          model: from.name,
          turn: last.turn,
          context_id: last.contextId,
          deleted: request.deletes,
        },
      };
    },
  );
}

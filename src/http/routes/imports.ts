import { Type } from 'typebox';
import { userOf } from '../../domain/principals/principal.ts';
import type { AppParts } from '../app-parts.ts';
import { clientGone } from '../connections/client-gone.ts';
import { OF_A_MODEL, OF_THE_STORE } from '../possible-errors.ts';
import { sessionId, userId } from '../requests/request-fields.ts';
import { allowedTtl } from '../requests/time-to-live.ts';
import type { TypedApp } from '../typed-app.ts';
import { ImportBody, importedTurns, importView, servedModelOf } from './session-import.ts';
import { ImportReply } from './session-schemas.ts';

const ImportQuery = Type.Object({
  user_id: Type.Optional(userId({ description: 'Whose it is to be; default `anonymous`.' })),
  as: Type.Optional(sessionId({ description: 'Under another id.' })),
  ttl_seconds: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: 'How long it lives from now on; left out: as long as it did after a turn.',
    }),
  ),
});

/** What was exported comes back. */
export function importRoutes(app: TypedApp, { models, options }: AppParts): void {
  app.post(
    '/sessions/import',
    {
      config: { audit: 'session.import' },
      schema: {
        operationId: 'importSession',
        tags: ['sessions'],
        summary: 'Take a session back that was exported',
        description:
          'The answer of `/sessions/{session_id}/export`, whole and as it was: texts and ids are compared with the records, which keep the exact ids. The session goes on where it was, under new context ids. It takes the place of no other: where the id is taken it is refused. A node that serves several models finds the one by its keygroup.',
        querystring: ImportQuery,
        body: ImportBody,
        response: { 200: ImportReply },
        errors: [
          ...OF_A_MODEL,
          ...OF_THE_STORE,
          ...(['session_exists', 'session_deleted', 'session_busy', 'quota_exceeded', 'shutting_down'] as const),
          'turn_cancelled',
        ],
      },
    },
    async ({ query, body, principal, account }, reply) => {
      const { name, contextManager } = servedModelOf(models, body.keygroup);
      const imported = await contextManager.imports.import(
        {
          userId: userOf(principal, query.user_id),
          sessionId: query.as ?? body.session_id,
          ttlSeconds: allowedTtl(query.ttl_seconds, options),
          account,
          ...importedTurns(body),
        },
        clientGone(reply),
      );
      return { ...importView(imported, options.nodeId), ...(models.all.length > 1 && { model: name }) };
    },
  );
}

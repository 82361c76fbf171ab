import type { TSchema } from 'typebox';
import { DiscedgeError } from '../../domain/errors.ts';
import { requireOwn } from '../access/user-access.ts';
import type { AppParts } from '../app-parts.ts';
import { clientGone } from '../connections/client-gone.ts';
import { OF_THE_STORE } from '../possible-errors.ts';
import { compressionFault } from '../requests/compressed-body.ts';
import { checkBySchema } from '../requests/schema-check.ts';
import { restoreUser } from '../restore-user.ts';
import type { TypedApp } from '../typed-app.ts';
import { UserImportBody, UserImportReply, UserPath } from './user-views.ts';

/** Everything of a user that was exported comes back, read as it comes. In a scope of its own: there no body is read before its route. */
export async function userImportRoute(app: TypedApp, { models, node, options }: AppParts): Promise<void> {
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', ({ headers }, _body, done) => done(compressionFault(headers) ?? null));
  app.setValidatorCompiler<TSchema>((part) =>
    part.httpPart === 'body' ? (value: unknown) => ({ value }) : checkBySchema(part),
  );

  app.post(
    '/users/:user_id/import',
    {
      config: { audit: 'user.import' },
      schema: {
        operationId: 'importUser',
        tags: ['users'],
        summary: 'Take everything back that was exported of a user',
        description:
          'The answer of `/users/{user_id}/export`, of any length: it is read as it comes, one session at a time. Sessions come back as by `/sessions/import`, under their ids; one that is refused keeps no other out. Preferences and time to live come back where the user has no others. Sent again, it finds what is here. All of a request has to come within a minute: where that is too short, send some of the sessions in each of several.',
        params: UserPath,
        body: UserImportBody,
        response: { 200: UserImportReply },
        errors: [...OF_THE_STORE, 'session_deleted', 'shutting_down', 'turn_cancelled'],
      },
    },
    async ({ params, principal, account, raw }, reply) => {
      requireOwn(principal, params.user_id);
      const gone = clientGone(reply);
      try {
        return await node.userImports.run(params.user_id, (user) =>
          restoreUser(raw.iterator({ destroyOnReturn: false }), { user, models, options, account, gone }),
        );
      } catch (error) {
        // What has not been read stands before the next request.
        if (!raw.readableEnded) reply.header('connection', 'close');
        if (raw.errored === null) throw error;
        throw new DiscedgeError('turn_cancelled', 'the client left before all had come', { cause: error });
      }
    },
  );
}

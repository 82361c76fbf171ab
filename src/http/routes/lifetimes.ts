import { type Static, Type } from 'typebox';
import type { UserId } from '../../domain/identifiers.ts';
import { requireAdministrable } from '../access/user-access.ts';
import type { AppParts } from '../app-parts.ts';
import { OF_THE_STORE } from '../possible-errors.ts';
import { allowedTtl } from '../requests/time-to-live.ts';
import type { TypedApp } from '../typed-app.ts';
import { LifetimeSeconds, UserPath } from './user-views.ts';

const LifetimeBody = Type.Object(
  { ttl_seconds: LifetimeSeconds },
  { additionalProperties: false, title: 'LifetimeRequest' },
);
const LifetimeReply = Type.Object(
  {
    user_id: Type.String(),
    ttl_seconds: Type.Union([Type.Integer(), Type.Null()], { description: "Null: as the node's default is." }),
  },
  { title: 'Lifetime' },
);

/** How long what a user says is kept: its own to say, that of whoever acts for it, and the operator's. */
export function lifetimeRoutes(app: TypedApp, { node, options }: AppParts): void {
  const { userLifetimes } = node;
  const described = { tags: ['users'], params: UserPath, response: { 200: LifetimeReply } };

  app.get(
    '/users/:user_id/lifetime',
    {
      config: { access: 'principal' },
      schema: {
        operationId: 'showLifetime',
        summary: 'How long what a user says is kept',
        errors: OF_THE_STORE,
        ...described,
      },
    },
    async ({ params, principal }) => {
      requireAdministrable(principal, params.user_id);
      return view(params.user_id, await userLifetimes.get(params.user_id));
    },
  );

  app.put(
    '/users/:user_id/lifetime',
    {
      config: { access: 'principal', audit: 'user.lifetime' },
      schema: {
        operationId: 'setLifetime',
        summary: 'Say how long what a user says is kept',
        description:
          'It counts for turns from now on whose requests name no `ttl_seconds`, in new sessions and old ones, at this node at once and at the others when it has arrived. What was written before keeps what it had; no session lives longer than a node allows.',
        body: LifetimeBody,
        errors: [...OF_THE_STORE, 'session_deleted'],
        ...described,
      },
    },
    async ({ params, body, principal }) => {
      requireAdministrable(principal, params.user_id);
      const ttlSeconds = allowedTtl(body.ttl_seconds, options);
      await userLifetimes.put(params.user_id, ttlSeconds);
      return view(params.user_id, ttlSeconds);
    },
  );

  app.delete(
    '/users/:user_id/lifetime',
    {
      config: { access: 'principal', audit: 'user.lifetime' },
      schema: {
        operationId: 'clearLifetime',
        summary: "Have what a user says kept as long as the node's default is",
        description: 'Sessions go on with what they have.',
        errors: [...OF_THE_STORE, 'session_deleted'],
        ...described,
      },
    },
    async ({ params, principal }) => {
      requireAdministrable(principal, params.user_id);
      await userLifetimes.put(params.user_id, undefined);
      return view(params.user_id, undefined);
    },
  );
}

function view(userId: UserId, ttlSeconds: number | undefined): Static<typeof LifetimeReply> {
  return { user_id: userId, ttl_seconds: ttlSeconds ?? null };
}

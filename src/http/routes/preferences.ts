import { type Static, Type } from 'typebox';
import type { StoredPreferences } from '../../context-manager/layers/user-preferences.ts';
import type { UserId } from '../../domain/identifiers.ts';
import { requireOwn } from '../access/user-access.ts';
import type { AppParts } from '../app-parts.ts';
import { OF_THE_STORE } from '../possible-errors.ts';
import { invalid } from '../requests/parameters.ts';
import type { TypedApp } from '../typed-app.ts';
import { PreferencesValue, requireSmall } from './preferences-value.ts';
import { UserPath } from './user-views.ts';

const version = (description: string) => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description });
const PreferencesBody = Type.Object(
  {
    preferences: PreferencesValue,
    version: Type.Optional(
      version(
        'The version that is to be replaced, 0 for none; left out: whatever there is. The header `if-match` says the same.',
      ),
    ),
  },
  { additionalProperties: false, title: 'PreferencesRequest' },
);
const PreferencesReply = Type.Object(
  {
    user_id: Type.String(),
    preferences: Type.Union([PreferencesValue, Type.Null()], { description: 'Null: there are none.' }),
    version: version('Of what was written last; 0: nothing was.'),
  },
  { title: 'Preferences' },
);
const ClearQuery = Type.Object({ version: Type.Optional(version('The version that is to be taken away.')) });

/** What a user wants every model to know. Its own, and whoever acts for it; not the operator's. */
export function preferencesRoutes(app: TypedApp, { node }: AppParts): void {
  const { preferences } = node;
  const described = { tags: ['users'], params: UserPath, response: { 200: PreferencesReply } };

  app.get(
    '/users/:user_id/preferences',
    {
      schema: {
        operationId: 'showPreferences',
        summary: "A user's preferences",
        errors: OF_THE_STORE,
        ...described,
      },
    },
    async ({ params, principal }, reply) => {
      requireOwn(principal, params.user_id);
      const stored = await preferences.get(params.user_id);
      reply.header('etag', `"${stored.version}"`);
      return view(params.user_id, stored);
    },
  );

  app.put(
    '/users/:user_id/preferences',
    {
      config: { audit: 'user.preferences' },
      schema: {
        operationId: 'setPreferences',
        summary: "Set a user's preferences",
        description:
          'They stand before every conversation of the user from the next turn on, at this node at once and at the others when they have arrived. Of two that are set at two nodes at once, the same one counts everywhere.',
        body: PreferencesBody,
        errors: [...OF_THE_STORE, 'version_conflict', 'session_deleted', 'rate_limited'],
        ...described,
      },
    },
    async ({ params, body, principal, headers }, reply) => {
      requireOwn(principal, params.user_id);
      requireSmall(body.preferences);
      const expected = body.version ?? matched(headers['if-match']);
      const stored = await preferences.put(params.user_id, body.preferences, { expected });
      reply.header('etag', `"${stored.version}"`);
      return view(params.user_id, stored);
    },
  );

  app.delete(
    '/users/:user_id/preferences',
    {
      config: { audit: 'user.preferences' },
      schema: {
        operationId: 'clearPreferences',
        summary: "Take a user's preferences away",
        description: 'Versions of before stay stored until they expire, or the user is erased.',
        querystring: ClearQuery,
        errors: [...OF_THE_STORE, 'version_conflict', 'session_deleted'],
        ...described,
      },
    },
    async ({ params, query, principal, headers }, reply) => {
      requireOwn(principal, params.user_id);
      const expected = query.version ?? matched(headers['if-match']);
      const stored = await preferences.put(params.user_id, undefined, { expected });
      reply.header('etag', `"${stored.version}"`);
      return view(params.user_id, stored);
    },
  );
}

function view(userId: UserId, { preferences, version }: StoredPreferences): Static<typeof PreferencesReply> {
  return { user_id: userId, preferences: preferences ?? null, version };
}

/** A version as `etag` gave it; `*` and nothing are any. Throws `invalid_request` for what gives none. */
function matched(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined;
  const [, digits] = /^(?:W\/)?"?(\d{1,15})"?$/.exec(header.trim()) ?? [];
  if (digits === undefined) throw invalid('if-match', 'if-match must be a version, as the header etag gave it');
  return Number(digits);
}

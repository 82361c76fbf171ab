import { type Static, Type } from 'typebox';
import type { ReadTurn, SessionView } from '../../context-manager/sessions.ts';
import type { SessionSummary } from '../../context-store/context-store.ts';
import { ANONYMOUS, parseSessionId, parseUserId, type UserId } from '../../domain/identifiers.ts';
import type { Turn } from '../../domain/session-history.ts';
import type { AppParts } from '../app-parts.ts';
import { STOP_TYPES } from '../completion-reply.ts';
import type { TypedApp } from '../typed-app.ts';

const Owner = { user_id: Type.Optional(Type.String({ description: 'Whose sessions; default `anonymous`.' })) };
const OwnerQuery = Type.Object(Owner);
const ListQuery = Type.Object({
  ...Owner,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Sessions on a page; default 100.' })),
  after: Type.Optional(Type.String({ description: 'Go on after this session id.' })),
});
const SessionPath = Type.Object({ session_id: Type.String() });
const LIST_LIMIT = 100;

/** The stored sessions of one user: list, show, export, delete; and stopping a turn that runs. */
export function sessionRoutes(app: TypedApp, { contextManager: { sessions } }: AppParts): void {
  app.get(
    '/sessions',
    { schema: { tags: ['sessions'], summary: "A user's sessions, by id", querystring: ListQuery } },
    async ({ query }) => {
      const limit = query.limit ?? LIST_LIMIT;
      const userId = owner(query);
      const after = query.after === undefined ? undefined : parseSessionId(query.after);
      const page = await sessions.list({ userId, after, limit });
      const next = page.length < limit ? undefined : page.at(-1)?.key.sessionId;
      const hasMore = next !== undefined && (await sessions.list({ userId, after: next, limit: 1 })).length > 0;
      return { object: 'list', data: page.map(summaryView), has_more: hasMore, ...(hasMore ? { next } : {}) };
    },
  );

  const one = { params: SessionPath, querystring: OwnerQuery };

  app.get(
    '/sessions/:session_id',
    { schema: { tags: ['sessions'], summary: 'A session with its turns as text', ...one } },
    async ({ params, query }) => {
      const view = await sessions.show(owner(query), parseSessionId(params.session_id));
      return { ...sessionHead(view), turns: view.turns.map(turnView), branches: view.tips.slice(1).map(tipView) };
    },
  );

  app.get(
    '/sessions/:session_id/export',
    { schema: { tags: ['sessions'], summary: 'A session with its exact ids', ...one } },
    async ({ params, query }) => {
      const view = await sessions.show(owner(query), parseSessionId(params.session_id));
      return {
        ...sessionHead(view),
        keygroup: view.key.keygroup,
        turns: view.turns.map((turn) => ({ ...turnView(turn), ...exactView(turn) })),
      };
    },
  );

  app.delete(
    '/sessions/:session_id',
    { schema: { tags: ['sessions'], summary: 'Delete a session for good', ...one } },
    async ({ params, query }) => {
      await sessions.delete(owner(query), parseSessionId(params.session_id));
      return { session_id: params.session_id, deleted: true };
    },
  );

  app.post(
    '/sessions/:session_id/cancel',
    { schema: { tags: ['sessions'], summary: 'Stop the turn that runs; nothing of it is stored', ...one } },
    async ({ params, query }) => ({ cancelled: sessions.cancel(owner(query), parseSessionId(params.session_id)) }),
  );
}

function owner({ user_id }: Static<typeof OwnerQuery>): UserId {
  return user_id === undefined || user_id === '' ? ANONYMOUS : parseUserId(user_id);
}

function summaryView(summary: SessionSummary) {
  return {
    session_id: summary.key.sessionId,
    user_id: summary.key.userId,
    mode: summary.mode,
    turns: summary.turns,
    bytes: summary.bytes,
    created_at: iso(summary.createdAtMs),
    updated_at: iso(summary.updatedAtMs),
    expires_at: iso(summary.expiresAtMs),
  };
}

function sessionHead(view: SessionView) {
  return {
    session_id: view.key.sessionId,
    user_id: view.key.userId,
    mode: view.mode,
    context_id: view.tips[0]?.hash,
    expires_at: iso(view.expiresAtMs),
    corrupt_records: view.corruptRecords,
  };
}

function turnView({ turn, messages, reply }: ReadTurn) {
  const { record } = turn;
  const { payload } = record;
  return {
    ...tipView(turn),
    parent: record.parent ?? null,
    system: messages.find(({ role }) => role === 'system')?.content,
    user: messages
      .filter(({ role }) => role === 'user')
      .map(({ content }) => content)
      .join('\n'),
    reply,
    stop_type: STOP_TYPES[record.stop.kind],
    context_start: record.contextStart,
    prompt_tokens: payload.mode === 'tokenized' ? payload.promptIds.length : undefined,
    reply_tokens: payload.mode === 'tokenized' ? payload.replyIds.length : undefined,
  };
}

function exactView({ turn: { record } }: ReadTurn) {
  const { payload } = record;
  if (payload.mode === 'raw') return {};
  return { prompt_ids: payload.promptIds, reply_ids: payload.replyIds, exact_ids: payload.exact };
}

function tipView({ hash, record }: Turn) {
  return { turn: record.turn, context_id: hash, node: record.origin, written_at: iso(record.writtenAtMs) };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

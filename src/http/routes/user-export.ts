import { Readable } from 'node:stream';
import { NodeSessions } from '../../context-manager/node-sessions.ts';
import { isMissing } from '../../domain/errors.ts';
import type { SessionId, UserId } from '../../domain/identifiers.ts';
import type { AppParts } from '../app-parts.ts';
import { jsonStream } from './json-stream.ts';
import { exactTurnView, sessionView } from './session-view.ts';

/** Sessions looked up at a time. */
const PAGE_SESSIONS = 100;

/** Everything about a user that this node holds, as JSON that is made as it is sent: one session is in memory at a time. */
export function userExportStream(userId: UserId, parts: AppParts): Readable {
  return Readable.from(pieces(userId, parts), { objectMode: false });
}

async function* pieces(userId: UserId, { models, node }: AppParts): AsyncGenerator<string> {
  const exportedAt = new Date(node.environment.clock.now()).toISOString();
  const { preferences = null } = await node.preferences.get(userId);
  const ttl_seconds = (await node.userLifetimes.get(userId)) ?? null;
  const about = JSON.stringify({ user_id: userId, exported_at: exportedAt, preferences, ttl_seconds });
  yield `${about.slice(0, -1)},"sessions":[`;
  let isFirst = true;
  for await (const session of sessionsOf(userId, models)) {
    if (!isFirst) yield ',';
    isFirst = false;
    yield* jsonStream(session, ['turns', 'branches']);
  }
  yield ']}';
}

async function* sessionsOf(userId: UserId, models: AppParts['models']): AsyncGenerator<object> {
  const nodeSessions = new NodeSessions(models);
  let after: SessionId | undefined;
  do {
    const page = await nodeSessions.list({ model: undefined, userId, after, limit: PAGE_SESSIONS });
    for (const { model, summary } of page.sessions) {
      const { contextManager, keygroup, name } = model;
      try {
        const view = await contextManager.sessions.show(userId, summary.key.sessionId);
        yield { keygroup, model: name, ...sessionView(view, exactTurnView) };
      } catch (error) {
        // It has ended since the page was made.
        if (!isMissing(error)) throw error;
      }
    }
    after = page.next;
  } while (after !== undefined);
}

import type { SessionSummary } from '../context-store/context-store.ts';
import { compareUtf8 } from '../domain/bytes.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { SessionId, UserId } from '../domain/identifiers.ts';
import type { ModelDirectory, ServedModel } from './model-directory.ts';

/** A session as it is asked for: a user's, of the model that is named, or of whichever has it. */
export interface SessionName {
  readonly model: string | undefined;
  readonly userId: UserId;
  readonly sessionId: SessionId;
}

export interface ListedSession {
  readonly model: ServedModel;
  readonly summary: SessionSummary;
}

/** The sessions of all models of a node: each belongs to one of them. */
export class NodeSessions {
  readonly #models: ModelDirectory;

  constructor(models: ModelDirectory) {
    this.#models = models;
  }

  /**
   * A page of the user's sessions by session id, after `after`: of the model that is named, or of all. Sessions of one id
   * in several models stay on one page, which can be as many longer; it may be short, or empty, and not the last. `next` is
   * the id to go on after, where it is not the last. Throws `model_not_found`.
   */
  async list({
    model,
    userId,
    after,
    limit,
  }: Omit<SessionName, 'sessionId'> & { readonly after: SessionId | undefined; readonly limit: number }): Promise<{
    readonly sessions: readonly ListedSession[];
    readonly next: SessionId | undefined;
  }> {
    const models = this.#models.named(model);
    const pages = await Promise.all(models.map((served) => listOf(served, { userId, after, limit })));
    const listed = pages
      .flatMap(({ sessions }) => sessions)
      .sort((a, b) => compareUtf8(a.summary.key.sessionId, b.summary.key.sessionId));
    // Beyond the model that has been looked at least far, others' sessions may still come to stand between.
    const ends = pages.flatMap(({ next }) => next ?? []);
    if (listed.length > limit) ends.push((listed[limit - 1] as ListedSession).summary.key.sessionId);
    const next = ends.sort(compareUtf8)[0];
    if (next === undefined) return { sessions: listed, next };
    return { sessions: listed.filter(({ summary }) => compareUtf8(summary.key.sessionId, next) <= 0), next };
  }

  /**
   * The model that has the session: the one that is named, else the first that holds it, the default one before the others,
   * else the first in which it is being opened, else the first in which it was deleted, and only then one whose peers have it;
   * else the default one. Throws
   * `model_not_found`.
   */
  async modelOf({ model, userId, sessionId }: SessionName): Promise<ServedModel> {
    const { all, default: usual } = this.#models;
    if (model !== undefined || all.length === 1) return this.#models.find(model);
    for (const where of ['presence', 'presenceAnywhere'] as const) {
      const found = await Promise.all(
        all.map(({ contextManager }) => contextManager.sessions[where](userId, sessionId)),
      );
      const at = (['held', 'opening', 'deleted'] as const)
        .map((presence) => found.indexOf(presence))
        .find((i) => i >= 0);
      if (at !== undefined) return all[at] as ServedModel;
    }
    return usual;
  }

  /** The model that is named, else the first that holds the session, else the default one; no peer is asked. Throws `model_not_found`. */
  async holderOf({ model, userId, sessionId }: SessionName): Promise<ServedModel> {
    const { all, default: usual } = this.#models;
    if (model !== undefined || all.length === 1) return this.#models.find(model);
    for (const served of all) {
      if ((await served.contextManager.sessions.presence(userId, sessionId)) === 'held') return served;
    }
    return usual;
  }

  /**
   * Stops the session's turns under way, which may be its first, so that nothing of it is stored yet: in the model that is
   * named, or in the one that runs any. True when nothing is stored of any of them; false when none ran, and when one is
   * kept. Throws `model_not_found`, and `invalid_request` where none is named and several run a session of this id: then
   * nothing is stopped.
   */
  async cancel({ model, userId, sessionId }: SessionName): Promise<boolean> {
    const models = this.#models.named(model);
    const [running, ...others] = models.filter(({ contextManager }) =>
      contextManager.sessions.isUnderWay(userId, sessionId),
    );
    if (running === undefined) return false;
    if (others.length > 0) {
      const names = [running, ...others].map(({ name }) => name).join(', ');
      const message = `sessions of this id have turns under way in several models (${names}): say in model which is meant`;
      throw new DiscedgeError('invalid_request', message, { param: 'model' });
    }
    return (await running.contextManager.sessions.cancel(userId, sessionId)) === 'stopped';
  }
}

async function listOf(
  model: ServedModel,
  page: { readonly userId: UserId; readonly after: SessionId | undefined; readonly limit: number },
): Promise<{ readonly sessions: readonly ListedSession[]; readonly next: SessionId | undefined }> {
  const { sessions, next } = await model.contextManager.sessions.list(page);
  return { sessions: sessions.map((summary) => ({ model, summary })), next: next?.sessionId };
}

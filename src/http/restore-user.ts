import type { Static } from 'typebox';
import type { ModelDirectory } from '../context-manager/model-directory.ts';
import type { Restored, UserImport } from '../context-manager/users/user-imports.ts';
import { DiscedgeError, type ErrorCode } from '../domain/errors.ts';
import { isId } from '../domain/identifiers.ts';
import { type JsonBounds, jsonMembers } from '../domain/json/json-members.ts';
import type { TurnAccount } from '../domain/principals/turn-account.ts';
import type { AppOptions } from './app-parts.ts';
import { depthFault } from './requests/json-depth.ts';
import { invalid } from './requests/parameters.ts';
import { readBySchema } from './requests/schema-check.ts';
import { allowedTtl } from './requests/time-to-live.ts';
import { PreferencesValue, requireSmall } from './routes/preferences-value.ts';
import { importedTurns, readImport, servedModelOf } from './routes/session-import.ts';
import { LifetimeSeconds, type UserImportReply } from './routes/user-views.ts';

const MIB = 1024 * 1024;
/**
 * Of one session's JSON, which is held as a whole: as much as the largest body that a node can be told to take. An export
 * has more than 4 bytes to a weight of 1, even where an id is of one letter: one of so many bytes weighs less.
 */
const SESSION_BOUNDS: JsonBounds = { bytesMax: 64 * MIB, weightMax: 16 * MIB };
/** Of each member that is about the user: some times what preferences may have, as JSON may be written at some length. */
const MEMBER_BOUNDS: JsonBounds = { bytesMax: 64 * 1024, weightMax: 64 * 1024 };
/** What is read; the rest of an export is passed over. */
const BOUNDS: ReadonlyMap<string, JsonBounds> = new Map([
  ['sessions', SESSION_BOUNDS],
  ['preferences', MEMBER_BOUNDS],
  ['ttl_seconds', MEMBER_BOUNDS],
]);
/** In one request: what became of each is held until all have come, some 200 bytes each. */
const SESSIONS_MAX = 100_000;

/** They are the node's, and not a session's: nothing after them would fare better. */
const OF_THE_NODE: ReadonlySet<ErrorCode> = new Set([
  ...(['store_unavailable', 'overloaded', 'shutting_down', 'turn_cancelled'] as const),
]);

const readPreferences = readBySchema(PreferencesValue);
const readLifetime = readBySchema(LifetimeSeconds);

export interface UserRestoreParts {
  readonly user: UserImport;
  readonly models: ModelDirectory;
  readonly options: Pick<AppOptions, 'nodeId' | 'ttlSecondsMax'>;
  readonly account: TurnAccount | undefined;
  /** Aborts when the client has left. */
  readonly gone: AbortSignal;
}

type Outcome = NonNullable<Static<typeof UserImportReply>['preferences']>;
type SessionOutcome = Static<typeof UserImportReply>['sessions'][number];

/**
 * Puts back what was exported of a user as it comes, one session in memory at a time; what is refused keeps nothing else out. Throws
 * `invalid_request` for what was not exported of a user, `session_deleted` once the user is erased, and what is wrong with the node: what
 * had come before is here then, and is found when it is sent again.
 */
export async function restoreUser(
  body: AsyncIterator<Uint8Array>,
  parts: UserRestoreParts,
): Promise<Static<typeof UserImportReply>> {
  const { user, options } = parts;
  const about: { preferences?: Outcome; ttl_seconds?: Outcome } = {};
  const sessions: SessionOutcome[] = [];
  const boundsOf = (name: string) => BOUNDS.get(name);
  for await (const { name, value } of jsonMembers(body, { list: 'sessions', boundsOf })) {
    user.requireNotErased();
    if (name === 'sessions') sessions.push(await sessionOutcome(value, sessions.length, parts));
    else if (name === 'preferences' && value !== null) about.preferences = await preferencesOutcome(value, user);
    else if (name === 'ttl_seconds' && value !== null) about.ttl_seconds = await lifetimeOutcome(value, parts);
  }
  user.requireNotErased();
  const { imported, already_here, refused } = countsOf(sessions);
  return { user_id: user.userId, node: options.nodeId, ...about, imported, already_here, refused, sessions };
}

function preferencesOutcome(value: unknown, user: UserImport): Promise<Outcome> {
  return outcomeOf(async () => {
    requireTaken(value, 'preferences', MEMBER_BOUNDS);
    const preferences = readPreferences(value, 'preferences');
    requireSmall(preferences);
    return { state: await user.preferences(preferences) };
  });
}

function lifetimeOutcome(value: unknown, { user, options }: UserRestoreParts): Promise<Outcome> {
  return outcomeOf(async () => {
    requireTaken(value, 'ttl_seconds', MEMBER_BOUNDS);
    const seconds = readLifetime(value, 'ttl_seconds');
    allowedTtl(seconds, options);
    return { state: await user.lifetime(seconds) };
  });
}

async function sessionOutcome(value: unknown, place: number, parts: UserRestoreParts): Promise<SessionOutcome> {
  if (place === SESSIONS_MAX)
    throw invalid('sessions', `there are more than ${SESSIONS_MAX} sessions: send the others in another request`);
  const { session_id } = Object(value) as { readonly session_id?: unknown };
  const outcome = await outcomeOf(() => importSession(value, place, parts));
  return { ...(typeof session_id === 'string' && isId(session_id) && { session_id }), ...outcome };
}

async function importSession(
  value: unknown,
  place: number,
  { user, models, account, gone }: UserRestoreParts,
): Promise<SessionOutcome> {
  requireTaken(value, 'a session', SESSION_BOUNDS);
  const session = readImport(value, `sessions[${place}]`);
  const fault = depthFault(session);
  if (fault !== undefined) throw fault;
  const { name, contextManager } = servedModelOf(models, session.keygroup);
  const request = {
    userId: user.userId,
    sessionId: session.session_id,
    ttlSeconds: undefined,
    account,
    erasure: user.erasure,
    ...importedTurns(session),
  };
  const { tip, turns, expiresAtMs, replayed } = await contextManager.imports.import(request, gone);
  const state: Restored = replayed ? 'already_here' : 'imported';
  return {
    ...{ state, model: name, turns, turn: tip.record.turn, context_id: tip.hash },
    expires_at: new Date(expiresAtMs).toISOString(),
  };
}

/** Throws `payload_too_large` for what was passed over. */
function requireTaken(value: unknown, what: string, { bytesMax, weightMax }: JsonBounds): void {
  if (value !== undefined) return;
  const bounds = `${bytesMax} bytes as JSON, and a weight of ${weightMax} (a number 1, a text, an object or a list 3 more)`;
  throw new DiscedgeError('payload_too_large', `${what} may have ${bounds}, and has more`);
}

/** What was refused, and why, in place of its error. Throws what is wrong with the node. */
async function outcomeOf<T>(restore: () => Promise<T>): Promise<T | Refused> {
  try {
    return await restore();
  } catch (error) {
    if (!(error instanceof DiscedgeError) || OF_THE_NODE.has(error.code)) throw error;
    return { state: 'refused', error: { code: error.code, message: error.message } };
  }
}

interface Refused {
  readonly state: 'refused';
  readonly error: { code: string; message: string };
}

function countsOf(sessions: readonly SessionOutcome[]): Record<SessionOutcome['state'], number> {
  const counts = { imported: 0, already_here: 0, refused: 0 };
  for (const { state } of sessions) counts[state]++;
  return counts;
}

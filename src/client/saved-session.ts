import { DiscedgeClientError } from './errors.ts';
import { requireSessionId } from './session-id.ts';
import type { SessionState } from './session-options.ts';
import type { RememberedTurn } from './turn/remembered-turns.ts';
import type { SavedTurn } from './turn/unsettled-turn.ts';

/** A session as a string says it. */
export interface SavedSession {
  readonly state: SessionState;
  readonly userId: string | undefined;
  readonly mode: 'tokenized' | 'raw' | undefined;
  /** Of a session without turns. */
  readonly system: string | undefined;
  readonly remembered: readonly RememberedTurn[];
  /** A turn of which it is not known whether it was stored. */
  readonly unsettled: SavedTurn | undefined;
}

const VERSION = 1;
/** Remembered turns and an unsettled message of a million characters; nobody keeps more in a URL, a cookie or a page's storage. */
const CHARS_MAX = 4 * 1024 * 1024;
const ID_CHARS_MAX = 128;
const URL_CHARS_MAX = 2048;
const TURN_MAX = 2 ** 31;
const LIST_MAX = 64;

/** Throws `invalid_use` for one that is too long. */
export function savedText(session: SavedSession): string {
  const text = JSON.stringify({ discedgeSession: VERSION, ...session });
  if (text.length > CHARS_MAX) throw refused('it is too long');
  return text;
}

/**
 * Reads what {@link savedText} has written. The string may come from anywhere: whatever is not in it as it has to be is refused,
 * with `invalid_use`, and what is not known is left out.
 */
export function savedSession(text: string): SavedSession {
  if (typeof text !== 'string' || text.length > CHARS_MAX) throw refused('it is too long');
  const said = object(parsed(text), 'it');
  if (said.discedgeSession !== VERSION) throw refused('it is none, or of another version');
  const state = object(said.state, 'state');
  const sessionId = requireSessionId(idOf(state.sessionId, 'sessionId'));
  const turn = integer(state.turn, 'turn');
  return {
    state: {
      sessionId,
      turn,
      contextId: maybe(state.contextId, contextIdOf),
      node: maybe(state.node, urlOf),
      model: maybe(state.model, (value) => chars(value, 'model', URL_CHARS_MAX)),
    },
    userId: maybe(said.userId, (value) => idOf(value, 'userId')),
    mode: maybe(said.mode, modeOf),
    system: maybe(said.system, (value) => chars(value, 'system')),
    remembered: list(said.remembered, 'remembered').map(rememberedOf),
    unsettled: maybe(said.unsettled, (value) => unsettledOf(value, { sessionId, turn })),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refused('it is not JSON');
  }
}

function rememberedOf(value: unknown): RememberedTurn {
  const { turn, context_id, system, prompt, reply } = object(value, 'remembered');
  return {
    turn: integer(turn, 'turn'),
    context_id: contextIdOf(context_id),
    ...(system !== undefined && { system: chars(system, 'system') }),
    prompt: chars(prompt, 'prompt'),
    reply: chars(reply, 'reply'),
  };
}

/** The turn after the last one, of this session: it is sent to a node as it stands. */
function unsettledOf(value: unknown, { sessionId, turn }: Pick<SessionState, 'sessionId' | 'turn'>): SavedTurn {
  const { body, nodes } = object(value, 'unsettled');
  const said = object(body, 'unsettled');
  if (said.session_id !== sessionId || said.turn !== turn + 1) throw refused('unsettled is a turn of something else');
  chars(said.prompt, 'prompt');
  return {
    body: said,
    nodes: list(nodes, 'nodes').map((entry): readonly [string, number] => {
      const [url, attempts] = list(entry, 'nodes');
      return [urlOf(url), integer(attempts, 'nodes')];
    }),
  };
}

function maybe<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined ? undefined : read(value);
}

function object(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw refused(`${what} is no object`);
}

function list(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value) && value.length <= LIST_MAX) return value;
  throw refused(`${what} is no list, or too long`);
}

function chars(value: unknown, what: string, max = CHARS_MAX): string {
  if (typeof value === 'string' && value.length <= max) return value;
  throw refused(`${what} is no text, or too long`);
}

const idOf = (value: unknown, what: string) => chars(value, what, ID_CHARS_MAX);

function contextIdOf(value: unknown): string {
  const text = chars(value, 'contextId', ID_CHARS_MAX);
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  throw refused('contextId is none');
}

function urlOf(value: unknown): string {
  const text = chars(value, 'node', URL_CHARS_MAX);
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw refused('node is no http(s) URL');
}

function modeOf(value: unknown): 'tokenized' | 'raw' {
  if (value === 'tokenized' || value === 'raw') return value;
  throw refused('mode is none');
}

function integer(value: unknown, what: string): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= TURN_MAX) return value as number;
  throw refused(`${what} is no number of turns`);
}

function refused(why: string): DiscedgeClientError {
  return new DiscedgeClientError(`this string is not a saved session: ${why}`, { code: 'invalid_use' });
}

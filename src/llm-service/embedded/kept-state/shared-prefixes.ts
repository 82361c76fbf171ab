import { createHash } from 'node:crypto';
import { commonPrefixLength, type TokenSequence } from '../../../domain/token-sequence.ts';

/** A shorter one is evaluated about as soon as it is read. */
export const SHARED_TOKENS_MIN = 64;
/** Sessions that a new one is compared with: the latest. */
export const COMPARED_SESSIONS_MAX = 64;
/** Of each, so many ids from its beginning. */
export const COMPARED_TOKENS_MAX = 8_192;
/** Kept at a time. */
export const SHARED_PREFIXES_MAX = 16;

/** No session's key begins so. */
const KEY = '\u0000shared ';

/** What sessions' prompts begin with. */
export interface SharedPrefix {
  /** Under which its state is kept, as a session's is. */
  readonly key: string;
  readonly tokens: number;
}

/** One that is not kept yet. */
export interface NewSharedPrefix extends SharedPrefix {
  readonly ids: TokenSequence;
  /** Its state is kept, or was found not worth it. */
  settled(isKept: boolean): Promise<void>;
}

interface Kept {
  readonly ids: TokenSequence;
  /** Sessions that begin with it: once all are gone, it goes. Each is in the context store, which bounds them. */
  readonly sessions: Set<string>;
}

/**
 * Finds what many sessions begin with (a system message, a document, tools), so that its state is kept once, whatever becomes of the
 * sequences that evaluated it. Knows only of sessions since its start.
 */
export class SharedPrefixes {
  readonly #beginnings = new Map<string, TokenSequence>();
  /** What a session begins with, while nobody has evaluated it so far. */
  readonly #unsettled = new Map<string, NewSharedPrefix>();
  readonly #kept = new Map<string, Kept>();
  readonly #forget: (key: string) => Promise<void>;

  /** `forget` drops the state that is kept under a key. */
  constructor(forget: (key: string) => Promise<void>) {
    this.#forget = forget;
  }

  static isKey(affinity: string): boolean {
    return affinity.startsWith(KEY);
  }

  /** The one that spares a session's prompt most. The session counts as one that begins with it. */
  find(affinity: string, prompt: TokenSequence): SharedPrefix | undefined {
    let best: SharedPrefix | undefined;
    for (const [key, { ids }] of this.#kept) {
      const tokens = commonPrefixLength(ids, prompt);
      if (tokens >= SHARED_TOKENS_MIN && tokens > (best?.tokens ?? 0)) best = { key, tokens };
    }
    if (best !== undefined) this.#kept.get(best.key)?.sessions.add(affinity);
    return best;
  }

  /**
   * Told of every prompt, of a turn's or one evaluated ahead of it. Of a new session: what it begins with as another one did, and longer
   * than anything that is kept; its state is worth keeping. Of a known one the same again, until that is settled.
   */
  observe(affinity: string, prompt: TokenSequence): NewSharedPrefix | undefined {
    if (this.#beginnings.has(affinity)) return this.#unsettledOf(affinity, prompt);
    // The prompt's last id is evaluated in any case.
    const beginning = prompt.slice(0, Math.min(prompt.length - 1, COMPARED_TOKENS_MAX));
    const kept = [...this.#kept.values()].map(({ ids }) => commonPrefixLength(ids, beginning));
    let tokens = Math.max(SHARED_TOKENS_MIN - 1, ...kept);
    let like: string | undefined;
    for (const [other, ids] of this.#beginnings) {
      const shared = commonPrefixLength(ids, beginning);
      if (shared > tokens) [tokens, like] = [shared, other];
    }
    this.#beginnings.set(affinity, beginning);
    if (this.#beginnings.size > COMPARED_SESSIONS_MAX) this.#lose(first(this.#beginnings));
    if (like === undefined) return undefined;
    const ids = beginning.slice(0, tokens);
    const key = KEY + createHash('sha256').update(Int32Array.from(ids)).digest('hex');
    const sessions = [affinity, like];
    const settled = async (isKept: boolean) => {
      this.#unsettled.delete(affinity);
      if (isKept) await this.#keep(key, { ids, sessions: new Set(sessions) });
    };
    const prefix = { key, tokens, ids, settled };
    this.#unsettled.set(affinity, prefix);
    return prefix;
  }

  /** A session is gone. Resolves when nothing is kept of what it alone began with. */
  async forget(affinity: string): Promise<void> {
    this.#lose(affinity);
    const dropped: Promise<void>[] = [];
    for (const [key, { sessions }] of this.#kept) {
      if (sessions.delete(affinity) && sessions.size === 0) dropped.push(this.#drop(key));
    }
    await Promise.all(dropped);
  }

  /** {@link forget}, of all of these sessions. */
  async forgetAll(isMeant: (affinity: string) => boolean): Promise<void> {
    const known = new Set(this.#beginnings.keys());
    for (const { sessions } of this.#kept.values()) for (const affinity of sessions) known.add(affinity);
    await Promise.all([...known].filter(isMeant).map((affinity) => this.forget(affinity)));
  }

  /** A session whose prompt begins in another way now has nothing of it to keep. */
  #unsettledOf(affinity: string, prompt: TokenSequence): NewSharedPrefix | undefined {
    const prefix = this.#unsettled.get(affinity);
    if (prefix === undefined || commonPrefixLength(prefix.ids, prompt) === prefix.tokens) return prefix;
    this.#unsettled.delete(affinity);
    return undefined;
  }

  #lose(affinity: string): void {
    this.#beginnings.delete(affinity);
    this.#unsettled.delete(affinity);
  }

  async #keep(key: string, { ids, sessions }: Kept): Promise<void> {
    // Some may have gone while it was evaluated.
    const known = [...sessions].filter((session) => this.#beginnings.has(session));
    if (known.length === 0) return this.#forget(key);
    for (const session of this.#kept.get(key)?.sessions ?? []) known.push(session);
    this.#kept.set(key, { ids, sessions: new Set(known) });
    if (this.#kept.size > SHARED_PREFIXES_MAX) await this.#drop(first(this.#kept));
  }

  #drop(key: string): Promise<void> {
    this.#kept.delete(key);
    return this.#forget(key);
  }
}

/** The one that was put in first. */
function first(map: ReadonlyMap<string, unknown>): string {
  return map.keys().next().value as string;
}

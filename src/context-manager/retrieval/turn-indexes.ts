import { setImmediate } from 'node:timers/promises';
import { DiscedgeError } from '../../domain/errors.ts';
import { type SessionKeyText, sessionKeyText } from '../../domain/identifiers.ts';
import { textOf } from '../../domain/record/message-content.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import type { Mode, TurnText } from '../modes/mode.ts';
import { answerOf } from '../modes/read-turn.ts';
import type { NodeResources } from '../node-resources.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import { TurnTexts } from '../sessions/turn-texts.ts';
import { INDEXED_CHARS_MAX, TurnIndex } from './turn-index.ts';

/** Sessions whose turns are kept ready to be searched; reading them again costs a second of each long one. */
const SESSIONS_MAX = 64;
/** Of all their texts together; an index takes several times its texts. The session in use is kept whatever its size. */
const CHARS_MAX = 8 * 1024 * 1024;
/** Of all their vectors together, as a few sessions of thousands of turns have. */
const VECTOR_BYTES_MAX = 64 * 1024 * 1024;

/** Indexes of sessions in use, made when they are needed first. */
export class TurnIndexes {
  readonly #modes: Readonly<Record<StoredMode, Mode>>;
  readonly #indexes = new Map<SessionKeyText, TurnIndex>();

  constructor({ node, modes }: { readonly node: NodeResources; readonly modes: Readonly<Record<StoredMode, Mode>> }) {
    this.#modes = modes;
    node.records.onRemoved((key) => this.#indexes.delete(sessionKeyText(key)));
  }

  /** The session's, with these turns in it. Throws the failure of an LLM Service that cannot put stored ids into words. */
  async of({ key }: CachedSession, turns: readonly Turn[]): Promise<TurnIndex> {
    const keyText = sessionKeyText(key);
    const index = await this.#indexOf(keyText);
    const texts = new TurnTexts(this.#modes);
    let chars = 0;
    for (const turn of turns) {
      if (index.has(turn)) continue;
      const read = await texts.of(turn);
      if (read instanceof DiscedgeError) throw read;
      // Read meanwhile by another turn of the session.
      if (index.has(turn)) continue;
      const text = exchangeText(read);
      index.add({ turn, text });
      chars += Math.min(text.length, INDEXED_CHARS_MAX);
      if (chars < INDEXED_CHARS_MAX) continue;
      // As much as one long turn, then whoever else waits has a turn.
      await setImmediate();
      chars = 0;
    }
    // Gone where the session was removed meanwhile.
    if (this.#indexes.delete(keyText)) this.#indexes.set(keyText, index);
    this.#shrink();
    return index;
  }

  async #indexOf(keyText: SessionKeyText): Promise<TurnIndex> {
    const known = this.#indexes.get(keyText);
    if (known !== undefined) return known;
    const made = await TurnIndex.create();
    const index = this.#indexes.get(keyText) ?? made;
    this.#indexes.set(keyText, index);
    return index;
  }

  #shrink(): void {
    const indexes = [...this.#indexes.values()];
    let chars = indexes.reduce((sum, index) => sum + index.chars, 0);
    let bytes = indexes.reduce((sum, { vectors }) => sum + vectors.bytes, 0);
    for (const [keyText, index] of this.#indexes) {
      const fits = this.#indexes.size <= SESSIONS_MAX && chars <= CHARS_MAX && bytes <= VECTOR_BYTES_MAX;
      if (fits || this.#indexes.size <= 1) return;
      this.#indexes.delete(keyText);
      chars -= index.chars;
      bytes -= index.vectors.bytes;
    }
  }
}

/** As it is searched and brought back: without what a system or a tool said, and without what the model thought. */
function exchangeText(turn: TurnText): string {
  const asked = turn.messages.filter(({ role }) => role === 'user');
  const said = asked.map(({ content }) => `User: ${textOf(content)}`);
  return [...said, `Assistant: ${answerOf(turn)}`].join('\n');
}

import { deltaBytes } from '../../../src/context-store/replication/delta/delta-record.ts';
import type { ContextId, Incarnation, KeygroupId, NodeId, RequestDigest } from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import type { TurnRecord } from '../../../src/domain/record/turn-record.ts';
import type { WrittenTurn } from '../replication-node.ts';
import type { Mode, WrittenSessions } from '../written-session.ts';

/**
 * How a conversation is kept in FReD. `whole-context-json`: one item a session, written over with all of its context as JSON with
 * each turn, as the paper's prototype does. `record-a-turn`: an item a turn, its record in delta form, in 7 bits a character.
 */
export type Way = 'whole-context-json' | 'record-a-turn';

export interface FredValue {
  readonly id: string;
  readonly value: string;
}

const DAY_MS = 86_400_000;
const ORIGIN = 'e1' as NodeId;
const NODE_CODE = '0a';
const SEQUENCE_DIGITS = 10;

/** Makes the items of sessions, one a turn; the sequence of records goes on from session to session. */
export class FredValues {
  readonly #sessions: WrittenSessions;
  /** What all ids of the records begin with. */
  readonly log: string;
  readonly #incarnation: Incarnation;
  #sequence = 0;

  /** `incarnation`: eight hex digits. */
  constructor(sessions: WrittenSessions, incarnation: string) {
    this.#sessions = sessions;
    this.#incarnation = incarnation as Incarnation;
    this.log = `${NODE_CODE}${incarnation}`;
  }

  /** Where a scan of the records begins. */
  anchor(): FredValue {
    return { id: this.#idOf(0), value: 'anchor' };
  }

  session(way: Way, mode: Mode, turns?: number): FredValue[] {
    return way === 'record-a-turn' ? this.#records(mode, turns) : this.#documents(mode, turns);
  }

  #documents(mode: Mode, turns?: number): FredValue[] {
    return this.#sessions.session(mode, 'whole', turns).map(({ sessionId, payload }, turn) => ({
      id: sessionId,
      value: JSON.stringify({ turn: turn + 1, context: contextOf(payload) }),
    }));
  }

  #records(mode: Mode, turns?: number): FredValue[] {
    let parent: SealedRecord | undefined;
    return this.#sessions.session(mode, 'delta', turns).map((turn) => {
      const sealed = this.#seal(turn, parent?.hash);
      const bytes = deltaBytes(sealed, parent && { distance: 1, sealed: parent });
      parent = sealed;
      return { id: this.#idOf(++this.#sequence), value: sevenBits(bytes) };
    });
  }

  #seal(turn: WrittenTurn, parent: ContextId | undefined): SealedRecord {
    const writtenAtMs = Date.now();
    return sealRecord({
      kind: 'turn',
      ...turn,
      keygroup: '5e1f3a7092c4d8b6' as KeygroupId,
      origin: ORIGIN,
      incarnation: this.#incarnation,
      writtenAtMs,
      expiresAtMs: writtenAtMs + DAY_MS,
      parent,
      requestDigest: '00112233445566ff' as RequestDigest,
      contextStart: 1 as TurnRecord['contextStart'],
    });
  }

  #idOf(sequence: number): string {
    return this.log + sequence.toString(36).padStart(SEQUENCE_DIGITS, '0');
  }
}

function contextOf(payload: WrittenTurn['payload']): unknown {
  return payload.mode === 'tokenized'
    ? [...payload.promptIds, ...payload.replyIds]
    : payload.mode === 'raw' && [...payload.messages, { role: 'assistant', content: payload.reply }];
}

/** Seven bits of the bytes in each character; bench only measures what that takes, and nobody reads it back. */
function sevenBits(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,7}/g) ?? []).map((seven) => String.fromCharCode(Number.parseInt(seven, 2))).join('');
}

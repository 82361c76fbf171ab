import type { NodeId, SessionKeyText } from '../../domain/identifiers.ts';
import type { Track, Visit } from './warming-policy.ts';

/** A turn of which a record has come, from here or elsewhere. */
export interface SeenTurn {
  readonly keyText: SessionKeyText;
  readonly turn: number;
  readonly node: NodeId;
  readonly atMs: number;
  readonly nextNodes: readonly string[];
}

/** Turns of a session that tell where it goes: three nodes make a line. */
const VISITS_MAX = 4;
/** Sessions that are followed: some 300 bytes each. */
const SESSIONS_MAX = 4_096;

/** Where the sessions of a keygroup were last, those with the newest turns. */
export class Tracks {
  readonly #tracks = new Map<SessionKeyText, Track & { readonly turn: number }>();
  readonly #onEnd: (track: Track) => void;

  constructor(onEnd: (track: Track) => void) {
    this.#onEnd = onEnd;
  }

  /** The session's track, with this turn unless a later one was seen before. */
  follow({ keyText, turn, node, atMs, nextNodes }: SeenTurn): { readonly track: Track; readonly isNews: boolean } {
    const before = this.#tracks.get(keyText);
    if (before !== undefined && turn <= before.turn) return { track: before, isNews: false };
    const goesOn = before !== undefined && turn === before.turn + 1;
    const visits: readonly Visit[] = [...(goesOn ? before.visits.slice(1 - VISITS_MAX) : []), { node, atMs }];
    const track = { visits, nextNodes, turn };
    this.#tracks.delete(keyText);
    this.#tracks.set(keyText, track);
    if (this.#tracks.size > SESSIONS_MAX) this.end(this.#tracks.keys().next().value as SessionKeyText);
    return { track, isNews: true };
  }

  end(keyText: SessionKeyText): void {
    const track = this.#tracks.get(keyText);
    if (!this.#tracks.delete(keyText) || track === undefined) return;
    this.#onEnd(track);
  }
}

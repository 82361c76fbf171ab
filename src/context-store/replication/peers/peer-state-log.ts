import type { NodeId } from '../../../domain/identifiers.ts';
import type { Logger } from '../../../environment/environment.ts';
import { NOT_GREETED, type PeerLinkState, reasonOf } from './peer-link-state.ts';

/** Of a peer that is not connected, logged until it is again: the later ones are in its status. */
const REASONS_LOGGED_MAX = 4;

/** Says in the log how it stands with a peer, and each reason why it is not connected once. */
export class PeerStateLog {
  readonly #peer: NodeId;
  readonly #logger: Logger;
  readonly #reasonsLogged = new Set<string>();

  constructor(peer: NodeId, logger: Logger) {
    this.#peer = peer;
    this.#logger = logger;
  }

  /** What the peer does not tell of cannot be asked for, where its origin is away. */
  noteLogsLeftOut(logs: number): void {
    this.#logger.warn('peer_tells_of_fewer_logs', { peer: this.#peer, leftOut: logs });
  }

  note(state: PeerLinkState): void {
    const peer = this.#peer;
    if (state.kind === 'connected') {
      this.#reasonsLogged.clear();
      this.#logger.info('peer_connected', { peer });
      return;
    }
    const reason = reasonOf(state) ?? '';
    if (reason === NOT_GREETED || this.#reasonsLogged.has(reason)) return;
    if (this.#reasonsLogged.size >= REASONS_LOGGED_MAX) return;
    this.#reasonsLogged.add(reason);
    if (state.kind === 'refused') this.#logger.error('peer_refused', { peer, reason });
    else this.#logger.warn('peer_not_connected', { peer, state: state.kind, reason });
  }
}

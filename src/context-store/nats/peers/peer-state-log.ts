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

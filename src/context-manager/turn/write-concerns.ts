import type { SharedContexts } from '../../context-store/context-store.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Incarnation, NodeId } from '../../domain/identifiers.ts';
import type { WriteConcern } from '../../domain/session/consistency.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import type { Environment, Histogram, Logger } from '../../environment/environment.ts';
import type { StopSign } from '../../waiting/stop.ts';

/** How safely a turn's record is stored, as far as this node knows; it may be safer. */
export interface Safety {
  readonly writeConcern: WriteConcern;
  /** Nodes that have the record on disk, this one included. */
  readonly replicas: number;
}

/** What is true of every acknowledged turn. */
export const LOCAL: Safety = { writeConcern: 'local', replicas: 1 };

/** From a LAN's milliseconds to the longest wait that may be asked for. */
const SECONDS_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];

/** Waits for peers to have a turn that this node has stored already (DESIGN §4, "No lost turn"). */
export class WriteConcerns {
  readonly #sharing: SharedContexts | undefined;
  readonly #own: { readonly nodeId: NodeId; readonly incarnation: Incarnation };
  readonly #monotonic: () => number;
  readonly #logger: Logger;
  readonly #seconds: Histogram;

  constructor(
    sharing: SharedContexts | undefined,
    own: { readonly nodeId: NodeId; readonly incarnation: Incarnation },
    { clock, logger, metrics }: Environment,
  ) {
    this.#sharing = sharing;
    this.#own = own;
    this.#monotonic = () => clock.monotonic();
    this.#logger = logger;
    this.#seconds = metrics.histogram({
      name: 'discedge_replicated_wait_seconds',
      help: 'Time that turns with write concern `replicated` waited for a peer, by what was reached',
      labels: ['reached'],
      buckets: SECONDS_BUCKETS,
    });
  }

  /** Throws `unsupported_parameter` when what is asked for can never be reached here. */
  require(asked: WriteConcern): void {
    if (asked === 'local' || this.#sharing !== undefined) return;
    throw new DiscedgeError(
      'unsupported_parameter',
      'write_concern "replicated" needs peers, and this node shares its sessions with no other; send "local"',
      { param: 'write_concern' },
    );
  }

  /**
   * Resolves as soon as a peer has the turn's record, or after `waitMs`, or when `impatient` is given, with what was reached by
   * then. Never throws: the turn stands, and an error would only make its client send it again.
   */
  async reach(
    { hash, record }: Turn,
    { asked, waitMs }: { asked: WriteConcern; waitMs: number },
    impatient: StopSign,
  ): Promise<Safety> {
    const sharing = this.#sharing;
    if (asked === 'local' || sharing === undefined) return LOCAL;
    // A record that came from elsewhere is there as well; so is one that came back after this node had lost its disk.
    const isOwn = record.origin === this.#own.nodeId && record.incarnation === this.#own.incarnation;
    const startedMs = this.#monotonic();
    const peers = isOwn ? await this.#peersWith(sharing, hash, waitMs, impatient.signal) : 1;
    const reached: Safety = { writeConcern: peers > 0 ? 'replicated' : 'local', replicas: 1 + peers };
    this.#seconds.observe((this.#monotonic() - startedMs) / 1000, { reached: reached.writeConcern });
    return reached;
  }

  async #peersWith(
    sharing: SharedContexts,
    hash: Turn['hash'],
    waitMs: number,
    patience: AbortSignal,
  ): Promise<number> {
    try {
      return await sharing.awaitReplicated(hash, waitMs, patience);
    } catch (error) {
      if (!patience.aborted) this.#logger.warn('replication_wait_failed', {}, error);
      return 0;
    }
  }
}

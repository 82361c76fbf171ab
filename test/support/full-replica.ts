import { logText, type OriginLog } from '../../src/context-store/leveldb/log/origin-log.ts';
import { openReplica, type ReplicaStore } from '../../src/context-store/leveldb/replica.ts';
import type { RoomLimits } from '../../src/context-store/leveldb/room/room.ts';
import type { Announcement } from '../../src/context-store/replication/peers/peer-protocol.ts';
import { PeerHolders } from '../../src/context-store/replication/publish/peer-holders.ts';
import { ReplicaAcks } from '../../src/context-store/replication/publish/replica-acks.ts';
import type { Incarnation, NodeId, SessionKey } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import { KEYGROUP, sealedTurn, type TurnOptions } from '../../tools/turn-records.ts';
import type { VirtualEnvironment } from '../../tools/virtual-environment.ts';
import { type ToldPeer, tableOfPeers } from './told-peers.ts';

const PEERS_DISK = '0badcafe' as Incarnation;

/** The replica of node `a` with little room, among peers whose word is the test's. */
export class FullReplica {
  readonly nodeId = 'a' as NodeId;
  readonly environment: VirtualEnvironment;
  /** Sessions that went, in that order. */
  readonly gone: SessionKey[] = [];
  readonly told: Announcement[] = [];
  peers: Record<string, ToldPeer> = {};
  /** How often it was asked who holds a session. */
  lookUps = 0;
  readonly #folder: string;
  readonly #limits: RoomLimits;
  #store: ReplicaStore | undefined;
  #acks: ReplicaAcks | undefined;
  #holders: PeerHolders | undefined;

  constructor(folder: string, limits: RoomLimits, environment: VirtualEnvironment) {
    this.#folder = folder;
    this.#limits = limits;
    this.environment = environment;
  }

  get store(): ReplicaStore {
    return this.#store as ReplicaStore;
  }

  get ownLog(): OriginLog {
    return { origin: this.nodeId, incarnation: this.store.incarnation, keygroup: KEYGROUP };
  }

  logOf(peer: string): OriginLog {
    return { origin: peer as NodeId, incarnation: PEERS_DISK, keygroup: KEYGROUP };
  }

  /** What peers have said is not known to a process that has just started. */
  async open(): Promise<void> {
    const { nodeId, environment } = this;
    const store = await openReplica({ folder: this.#folder, nodeId, ...this.#limits }, environment);
    store.onRemoved((key) => this.gone.push(key));
    this.#store = store;
    const { incarnation } = store;
    this.#acks = new ReplicaAcks({ nodeId, incarnation, isWritten: () => true }, environment.clock);
    const holders = new PeerHolders({
      replica: store,
      keygroups: [KEYGROUP],
      acks: this.#acks,
      peers: () => tableOfPeers(this.peers),
      announce: (announcement) => this.told.push(announcement),
      uncarried: () => new Set(),
      clock: environment.clock,
    });
    this.#holders = holders;
    store.shareWith({
      get areThere() {
        return holders.areThere;
      },
      held: (session) => {
        this.lookUps++;
        return holders.held(session);
      },
      ask: () => holders.ask(),
      tellEvicted: (logs) => holders.tellEvicted(logs),
    });
  }

  async close(): Promise<void> {
    await this.#store?.close();
    this.#store = undefined;
  }

  /** Turns that this node writes, in this order. */
  async write(...turns: readonly TurnOptions[]): Promise<SealedRecord[]> {
    const written = turns.map((options) => by(this.ownLog, options));
    await Promise.all(written.map((sealed) => this.store.append(sealed)));
    await this.environment.advance(1);
    return written;
  }

  /** The next turns of a peer's log. */
  async receive(peer: string, ...turns: readonly TurnOptions[]): Promise<SealedRecord[]> {
    const log = this.logOf(peer);
    const records = turns.map((options) => by(log, options));
    await this.receiveIn(log, ...records);
    return records;
  }

  /** The next records of a log. */
  async receiveIn(log: OriginLog, ...sealed: readonly SealedRecord[]): Promise<void> {
    const from = this.store.cursor(log);
    const records = sealed.map((sealed, n) => ({ sequence: from.sequence + n + 1, sealed }));
    const to = { sequence: from.sequence + records.length, streamSequence: 0 };
    if (!(await this.store.receive({ log, records, from, to }))) throw new Error(`${logText(log)} has moved`);
    await this.environment.advance(1);
  }

  /** The peer has this node's records up to there; by default all. */
  has(peer: string, through = this.store.cursor(this.ownLog).sequence): void {
    this.#acks?.note(peer as NodeId, this.ownLog, through);
  }

  evicts(peer: string, log: OriginLog, through: number): void {
    this.#holders?.note(peer as NodeId, log, through);
  }
}

function by({ origin, incarnation }: OriginLog, options: TurnOptions): SealedRecord {
  return sealRecord({ ...sealedTurn(options).record, origin, incarnation });
}

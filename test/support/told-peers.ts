import type { PeerCalls } from '../../src/context-store/replication/peers/peer-calls.ts';
import type { NodeAnnouncement } from '../../src/context-store/replication/peers/peer-protocol.ts';
import { type Peer, PeerTable } from '../../src/context-store/replication/peers/peer-table.ts';
import type { PeerState } from '../../src/context-store/replication-status.ts';
import type { Incarnation, NodeId } from '../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../tools/turn-records.ts';

/** A peer as a test tells of it: connected, with all abilities and on its first disk unless it says otherwise. */
export interface ToldPeer {
  readonly state?: PeerState;
  /** What is other than usual; `undefined`: it has not described itself yet. */
  readonly node?: { readonly [Field in keyof NodeAnnouncement]?: NodeAnnouncement[Field] | undefined } | undefined;
}

const USUAL = {
  ...{ handsOutSessions: true, arbitratesTurns: true, tellsOfAnswers: true },
  ...{ keygroups: [KEYGROUP], incarnation: '0badcafe' as Incarnation },
} as const;

/** Peers with nothing behind them. `lookAgain` is told which of them is to look again. */
export function tableOfPeers(
  peers: Readonly<Record<string, ToldPeer>>,
  lookAgain: (peer: string) => void = () => {},
): PeerTable {
  const table = new PeerTable();
  for (const [id, peer] of Object.entries(peers)) {
    const nodeId = id as NodeId;
    const isKnown = !('node' in peer) || peer.node !== undefined;
    const node = isKnown ? ({ ...USUAL, ...peer.node } as unknown as NodeAnnouncement) : undefined;
    table.set(nodeId, {
      ...{ nodeId, state: peer.state ?? 'connected', calls: { nodeId } as PeerCalls, node },
      lookAgain: () => lookAgain(id),
    } as unknown as Peer);
  }
  return table;
}

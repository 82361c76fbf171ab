import type { SharedContexts } from '../../context-store/context-store.ts';
import type { PeerStatus } from '../../context-store/replication-status.ts';
import type { NodeTime } from '../../domain/time/node-time.ts';
import type { LabelledValue, Metrics } from '../../environment/environment.ts';

/** What a node tells of its part in the cluster. Peers are labels: a cluster has at most a few dozen. */
export function exposeReplication(sharing: SharedContexts, metrics: Metrics, time: NodeTime): void {
  const eachPeer = (value: (peer: PeerStatus) => number) => () =>
    sharing.status().peers.map((peer) => ({ labels: { peer: peer.nodeId }, value: value(peer) }));
  metrics.gauge(
    {
      name: 'discedge_peer_clock_ahead_seconds',
      help: "How far the peer's time is ahead of this node's, as it last said",
      labels: ['peer'],
    },
    () =>
      sharing
        .status()
        .peers.flatMap(({ nodeId: peer, clock }) =>
          clock === undefined ? [] : [{ labels: { peer }, value: time.aheadMs(clock) / 1000 }],
        ),
  );
  metrics.gauge(
    { name: 'discedge_peer_connected', help: '1 when the peer answers, else 0', labels: ['peer'] },
    eachPeer(({ state }) => (state === 'connected' ? 1 : 0)),
  );
  metrics.gauge(
    { name: 'discedge_peer_lag_records', help: "The peer's records that are not here yet", labels: ['peer'] },
    eachPeer(({ logs }) => logs.reduce((sum, { lag }) => sum + lag, 0)),
  );
  metrics.gauge(
    {
      name: 'discedge_peer_needs_upgrade',
      help: "1 while the peer's records wait at one that this node's build does not read, else 0",
      labels: ['peer'],
    },
    eachPeer(({ needsRecordVersion }) => (needsRecordVersion === undefined ? 0 : 1)),
  );
  metrics.gauge(
    {
      name: 'discedge_peer_bytes',
      help: "Bytes of messages over this node's connection to the peer's server since the start",
      labels: ['peer', 'direction'],
    },
    () => sharing.status().peers.flatMap(directions),
  );
  metrics.gauge(
    {
      name: 'discedge_peer_refused_records',
      help: 'Records of the peer that were not taken in since the start',
      labels: ['peer', 'reason'],
    },
    () => sharing.status().peers.flatMap(refusals),
  );
  metrics.gauge(
    {
      name: 'discedge_unpublished_records',
      help: "Records written here that this node's nats-server or FReD node does not have",
    },
    () => sharing.status().outbox.reduce((sum, { last, published }) => sum + Math.max(0, last - published), 0),
  );
  metrics.gauge(
    { name: 'discedge_only_here_records', help: 'Records written here that no other node is known to have' },
    async () => (await sharing.onlyHere()).reduce((sum, { records }) => sum + records, 0),
  );
  metrics.gauge(
    {
      name: 'discedge_uncarried_records',
      help: 'Records written here that are too long to be carried to others, and are here alone',
    },
    () => sharing.status().outbox.reduce((sum, { uncarried }) => sum + uncarried, 0),
  );
  metrics.gauge(
    {
      name: `discedge_${sharing.status().transport.kind}_connected`,
      help: "1 when this node's own nats-server or FReD node answers, else 0",
    },
    () => (sharing.status().transport.connected ? 1 : 0),
  );
}

function directions({ nodeId: peer, bytesIn, bytesOut }: PeerStatus): LabelledValue[] {
  return [
    { labels: { peer, direction: 'in' }, value: bytesIn },
    { labels: { peer, direction: 'out' }, value: bytesOut },
  ];
}

function refusals({ nodeId: peer, refusedRecords }: PeerStatus): LabelledValue[] {
  return Object.entries(refusedRecords).map(([reason, value]) => ({ labels: { peer, reason }, value }));
}

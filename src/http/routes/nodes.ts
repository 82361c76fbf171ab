import { Type } from 'typebox';
import type { ModelDirectory } from '../../context-manager/model-directory.ts';
import type {
  NodeDescription,
  OnlyHereStatus,
  PeerLogStatus,
  PeerStatus,
  ReplicationStatus,
} from '../../context-store/replication-status.ts';
import { DOCUMENTS_KEYGROUP } from '../../domain/cluster/documents.ts';
import type { KeygroupId } from '../../domain/identifiers.ts';
import type { NodeTime } from '../../domain/time/node-time.ts';
import { isOperator } from '../access/request-access.ts';
import type { AppParts } from '../app-parts.ts';
import type { TypedApp } from '../typed-app.ts';
import { enginesView } from './engines-view.ts';
import { type NodeAddress, NodeListReply } from './node-schemas.ts';
import { warmingView } from './warming-view.ts';

const NodesQuery = Type.Object({
  probe: Type.Optional(
    Type.Boolean({
      description:
        'Ask the peers first, so that one behind a cut shows as such; default true. `false`: as last heard, which sends nothing.',
    }),
  ),
});

/** The node directory: this node first, then the nodes it knows, as it sees them. */
export function directoryRoutes(app: TypedApp, { models, node, options }: AppParts): void {
  const { records, environment } = node;
  app.get(
    '/nodes',
    {
      config: { access: 'principal' },
      schema: {
        operationId: 'listNodes',
        tags: ['node'],
        summary: 'The nodes of the cluster, as this one sees them',
        description:
          'Where the node asks who calls, all of it is told to operators; others are told names and addresses.',
        querystring: NodesQuery,
        response: { 200: NodeListReply },
      },
    },
    async (request) => {
      const list = await wholeList(request.query.probe !== false);
      return isOperator(request) ? list : { ...list, nodes: list.nodes.map(addressOf), refused: {} };
    },
  );

  async function wholeList(probes: boolean) {
    const self = {
      node: options.nodeId,
      state: 'self' as const,
      version: options.version,
      model: models.default.name,
      models: models.all.map(({ name }) => name),
      keygroups: models.all.map(({ keygroup }) => keygroup),
      load: node.turnsInFlight,
      ...enginesView(models.all),
      ...warmingView(models.all),
      clock: ownClock(node.time),
    };
    if (records.sharing === undefined) return { cluster: null, nodes: [self], refused: {} };
    if (probes) await records.sharing.refresh();
    const status = records.sharing.status();
    const onlyHere = await records.sharing.onlyHere();
    const nowMs = environment.clock.now();
    return {
      cluster: status.cluster,
      nodes: [
        { ...self, ...ownView(status, onlyHere) },
        ...status.peers.map((peer) =>
          peerView(peer, { transport: status.transport.kind, nowMs, models, time: node.time }),
        ),
      ],
      refused: status.refusedNodes,
    };
  }
}

/** What a client needs to find a near node, and nothing of what goes on there. */
function addressOf({
  node,
  state,
  url,
  location,
  model,
  models,
}: NodeAddress & { readonly node: string }): NodeAddress {
  return {
    node,
    state,
    ...(url !== undefined && { url }),
    ...(location !== undefined && { location }),
    ...(model !== undefined && { model }),
    ...(models !== undefined && { models }),
  };
}

function ownClock(time: NodeTime) {
  const { doubt } = time;
  return {
    time: new Date(time.nowMs).toISOString(),
    trusted: doubt === undefined,
    ...(doubt !== undefined && { doubt }),
    machine_ahead_ms: time.wallAheadMs,
  };
}

function ownView({ node, transport, outbox, peers }: ReplicationStatus, onlyHere: readonly OnlyHereStatus[]) {
  const isServed = ({ keygroup }: OnlyHereStatus) => peers.some((peer) => takesIn(peer, keygroup));
  return {
    ...(transport.url !== undefined && { [`${transport.kind}_url`]: transport.url }),
    ...descriptionView(node),
    [`${transport.kind}_connected`]: transport.connected,
    ...(transport.reason !== undefined && { not_connected_because: transport.reason }),
    unpublished: outbox.reduce((sum, { last, published }) => sum + Math.max(0, last - published), 0),
    uncarried: outbox.reduce((sum, log) => sum + log.uncarried, 0),
    only_here: recordsOf(onlyHere),
    only_here_unserved: recordsOf(onlyHere.filter((row) => !isServed(row))),
  };
}

function takesIn({ state, node }: PeerStatus, keygroup: KeygroupId): boolean {
  return state !== 'refused' && node?.keygroups.includes(keygroup) === true;
}

function recordsOf(rows: readonly OnlyHereStatus[]): number {
  return rows.reduce((sum, { records }) => sum + records, 0);
}

function peerView(
  peer: PeerStatus,
  { transport, nowMs, models, time }: { transport: string; nowMs: number; models: ModelDirectory; time: NodeTime },
) {
  const { clock } = peer;
  const { nodeId, state, reason, needsRecordVersion, url, node, logs, lastSeenMs, refusedRecords, bytesIn, bytesOut } =
    peer;
  return {
    node: nodeId,
    state,
    ...(reason !== undefined && { reason }),
    ...(needsRecordVersion !== undefined && { needs_record_version: needsRecordVersion }),
    [`${transport}_url`]: url,
    ...(node && descriptionView(node)),
    ...(node && { unlike_models: unlikeModels(node, models) }),
    ...(clock !== undefined && {
      clock: { ahead_ms: time.aheadMs(clock), plus_minus_ms: Math.ceil(clock.plusMinusMs) },
    }),
    ...(lastSeenMs !== undefined && { last_seen_ms_ago: Math.max(0, nowMs - lastSeenMs) }),
    lag: logs.reduce((sum, { lag }) => sum + lag, 0),
    logs: logs.filter(({ keygroup }) => keygroup !== DOCUMENTS_KEYGROUP).map((log) => logView(log, models)),
    refused_records: refusedRecords,
    bytes_in: bytesIn,
    bytes_out: bytesOut,
  };
}

function logView({ keygroup, incarnation, cursor, lag }: PeerLogStatus, models: ModelDirectory) {
  const model = models.all.find((served) => served.keygroup === keygroup)?.name;
  return { keygroup, incarnation, cursor, lag, ...(model !== undefined && { model }) };
}

function descriptionView({ incarnation, keygroups, recordVersion, httpUrl, models, location, load }: NodeDescription) {
  return {
    incarnation,
    keygroups: keygroups.filter((keygroup) => keygroup !== DOCUMENTS_KEYGROUP),
    record_version: recordVersion,
    ...(httpUrl !== undefined && { url: httpUrl }),
    ...(models.length > 0 && { model: models[0] as string, models: [...models] }),
    ...(location !== undefined && { location }),
    ...(load !== undefined && { load }),
  };
}

/** Models that both serve under one name, with another tokenizer or chat template: they share no sessions of these. */
function unlikeModels({ keygroups, models: names }: NodeDescription, models: ModelDirectory): string[] {
  return models.all.flatMap(({ name, keygroup }) =>
    names.includes(name) && !keygroups.includes(keygroup) ? [name] : [],
  );
}

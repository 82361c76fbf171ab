import type { ClusterName, KeygroupId } from '../../../domain/identifiers.ts';
import { RECORD_FORMAT_VERSION } from '../../../domain/record/record-version.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { NodeDescription } from '../../replication-status.ts';
import type { Signing } from '../signatures/signing.ts';
import type { NodeAnnouncement } from './peer-protocol.ts';

/** What a node says of itself, beside what its store knows. */
export type Described = Partial<Omit<NodeDescription, 'incarnation' | 'keygroups'>>;

/** What a node announces of itself; `instance`: another one each time its process starts. */
export function announcementOf(
  own: {
    readonly replica: Pick<ReplicaStore, 'nodeId' | 'incarnation'>;
    readonly cluster: ClusterName;
    readonly keygroups: readonly KeygroupId[];
    readonly describe?: () => Described;
    readonly signing?: Pick<Signing, 'statement'> | undefined;
  },
  instance: string,
): NodeAnnouncement {
  const { replica, cluster, keygroups, describe, signing } = own;
  const { httpUrl, models = [], location, load } = describe?.() ?? {};
  const [model] = models;
  return {
    cluster,
    nodeId: replica.nodeId,
    incarnation: replica.incarnation,
    instance,
    recordVersion: RECORD_FORMAT_VERSION,
    keygroups: [...keygroups],
    ...(httpUrl !== undefined && { httpUrl }),
    ...(model !== undefined && { model }),
    ...(models.length > 1 && { models: [...models] }),
    ...(location !== undefined && location),
    ...(load !== undefined && { load }),
    handsOutSessions: true,
    arbitratesTurns: true,
    tellsOfAnswers: true,
    ...(signing !== undefined && { signer: signing.statement }),
  };
}

/** What an announcement tells of the node, in the words of the port. */
export function describedNode({ latitude, longitude, ...node }: NodeAnnouncement): NodeDescription {
  const { incarnation, keygroups, recordVersion, httpUrl, model, load } = node;
  const models = node.models ?? (model === undefined ? [] : [model]);
  const location = latitude === undefined || longitude === undefined ? undefined : { latitude, longitude };
  return { incarnation, keygroups, recordVersion, httpUrl, models, location, load };
}

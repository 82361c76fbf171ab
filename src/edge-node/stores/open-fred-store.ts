import { readCertificates } from '../../certificates/pem-files.ts';
import { openSigning } from '../../certificates/record-signing.ts';
import type { EdgeNodeConfig } from '../../config/config.ts';
import { hostAndPort } from '../../config/listen-address.ts';
import type { FredReplicationConfig } from '../../config/replication-config.ts';
import { withGrpc } from '../../context-store/fred/wire/grpc-package.ts';
import { openReplica } from '../../context-store/leveldb/replica.ts';
import { Lifetimes } from '../../domain/time/lifetimes.ts';
import type { Environment } from '../../environment/environment.ts';
import { exposeNodeCertificate } from '../metrics/certificate-metric.ts';
import { exposeResealing } from '../metrics/encryption-metrics.ts';
import { type OpenedStore, replicaToShare, sharedOf } from './opened-store.ts';

type FredConfig = Omit<EdgeNodeConfig, 'replication'> & { readonly replication: FredReplicationConfig };

/**
 * Takes the data folder; sharing begins with `serve`. Throws what the replica throws, and `package_missing` where gRPC is not
 * installed, and then leaves nothing open.
 */
export async function openFredReplica(config: FredConfig, environment: Environment): Promise<OpenedStore> {
  const {
    nodeId,
    dataDir: folder,
    storeBytesMax: bytesMax,
    storeWhenFull: whenFull,
    replication,
    ttlSecondsMax,
  } = config;
  const { fred, certificates, cluster, excluded, location, requiresSignatures } = replication;
  const recordLifeMs = Lifetimes.carriedMs(ttlSecondsMax * 1000);
  const { openFredStore } = await withGrpc(() => import('../../context-store/fred.ts'));
  const [own] = await readCertificates(certificates.certFile);
  if (own !== undefined) exposeNodeCertificate(Date.parse(own.validTo), environment.metrics);
  const encryption = await config.encryption?.keys();
  const replica = await openReplica({ folder, nodeId, bytesMax, whenFull, encryption }, environment);
  exposeResealing(replica, environment.metrics);
  if (encryption?.current !== undefined)
    environment.logger.warn('fred_not_encrypted', { advice: 'what FReD keeps is in the clear: encrypt its disks' });
  const signer = { nodeId, cluster, requiresSignatures, recordLifeMs };
  const signing = await openSigning(certificates, signer, replica, environment).catch(async (error) => {
    await replica.close();
    throw error;
  });
  return replicaToShare(replica, (node) =>
    openFredStore(
      {
        replica,
        fredHost: hostAndPort(fred.node),
        tls: certificates,
        triggerListen: hostAndPort(fred.triggerListen),
        triggerHost: fred.triggerAdvertised && hostAndPort(fred.triggerAdvertised),
        cluster,
        excluded,
        ...sharedOf(node, location),
        signing,
        itemMaxAgeMs: recordLifeMs,
      },
      environment,
    ),
  );
}

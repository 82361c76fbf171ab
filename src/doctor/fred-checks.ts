import { hostAndPort } from '../config/listen-address.ts';
import type { FredReplicationConfig } from '../config/replication-config.ts';
import type { FredClient } from '../context-store/fred/wire/fred-client.ts';
import { withGrpc } from '../context-store/fred/wire/grpc-package.ts';
import { DiscedgeError } from '../domain/errors.ts';
import { nodeEnvironment } from '../environment/node-environment.ts';
import type { Check } from './check.ts';

const ANSWER_WAIT_MS = 6_000;

/** What a node needs to share its contexts over FReD. Asks its FReD node only who is there. */
export async function checkFred({ fred, certificates }: FredReplicationConfig): Promise<Check[]> {
  let client: FredClient;
  try {
    const { FredClient, readFredTls } = await withGrpc(async () => ({
      ...(await import('../context-store/fred/wire/fred-client.ts')),
      ...(await import('../context-store/fred/wire/fred-tls.ts')),
    }));
    const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'doctor' });
    const tls = await readFredTls(certificates);
    client = new FredClient({ host: hostAndPort(fred.node), tls, clock, callMs: ANSWER_WAIT_MS });
  } catch (error) {
    if (!(error instanceof DiscedgeError)) throw error;
    return [{ name: 'certificates', outcome: 'missing', found: error.message }];
  }
  const own: Check = { name: 'certificates', outcome: 'ok', found: `${certificates.certFile} can be used` };
  try {
    const nodes = await client.nodes();
    const names = nodes.map(({ nodeId }) => nodeId).join(', ');
    return [own, { name: 'FReD', outcome: 'ok', found: `${client.host} answers; FReD knows ${names}` }];
  } catch (error) {
    const fix = 'the node works alone until its FReD node, and etcd behind it, answer';
    return [own, { name: 'FReD', outcome: 'warn', found: (error as Error).message, fix }];
  } finally {
    client.close();
  }
}

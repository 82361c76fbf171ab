import {
  hubServerConfig,
  leafServerConfig,
  type NatsServerSettings,
  natsServerConfig,
} from '../../src/context-store/nats/server/server-config.ts';
import { parseClusterName, parseNodeId } from '../../src/domain/identifiers.ts';

/** The servers of the topologies that docs/operations.md describes, under the names by which it marks them. */
export const DOCUMENTED_CONFIGS: Readonly<Record<string, string>> = {
  'one of two nodes that reach each other': natsServerConfig(settings('e1', '0.0.0.0', ['e2'])),
  'a hub': hubServerConfig(settings('e1', '0.0.0.0', ['e2']), link('0.0.0.0')),
  'a node behind the hub': leafServerConfig(settings('e2', '127.0.0.1', []), link('10.0.0.1')),
};

const MARKED = /<!-- nats-server\.conf of (.+) -->\n```\n[\s\S]*?```/g;

/** The document with each marked configuration as the code makes it. */
export function withConfigs(document: string): string {
  return document.replace(MARKED, (_, name: string) => {
    const config = DOCUMENTED_CONFIGS[name];
    if (config === undefined) throw new Error(`docs/operations.md has a configuration of ${name}, which nothing makes`);
    return `<!-- nats-server.conf of ${name} -->\n\`\`\`\n${config}\`\`\``;
  });
}

/** Names of the configurations that a document has. */
export function configsIn(document: string): string[] {
  return [...document.matchAll(MARKED)].map(([, name]) => name as string);
}

function settings(nodeId: string, host: string, peers: readonly string[]): NatsServerSettings {
  const certificates = '/etc/discedge/certs';
  return {
    nodeId: parseNodeId(nodeId),
    listen: { host, port: 4222 },
    storeDir: '/var/lib/discedge/nats/jetstream',
    maxFileBytes: 2 ** 30,
    tls: {
      certFile: `${certificates}/node.crt`,
      keyFile: `${certificates}/node.key`,
      caFile: `${certificates}/ca.crt`,
      cluster: parseClusterName('blue'),
    },
    peers: peers.map(parseNodeId),
  };
}

function link(host: string) {
  return { address: { host, port: 7422 }, serverVersion: { major: 2, minor: 10 } };
}

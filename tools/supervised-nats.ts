import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { inboxPrefix } from '../src/context-store/nats/names.ts';
import { type NatsServerProcess, superviseNatsServer } from '../src/context-store/nats/server/nats-server-process.ts';
import type { NatsServerTls } from '../src/context-store/nats/server/server-config.ts';
import type { ClusterName, NodeId } from '../src/domain/identifiers.ts';
import type { Clock, Environment } from '../src/environment/environment.ts';
import { nodeEnvironment } from '../src/environment/node-environment.ts';
import { CLI_PATH } from './node-process.ts';
import { type VirtualEnvironment, virtualEnvironment } from './virtual-environment.ts';

/** Real time, for durations `speed` times as fast, and a log and metrics that can be looked at. */
export function watchedEnvironment(speed = 1): Environment & Pick<VirtualEnvironment, 'logLines' | 'metric'> {
  const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
  const faster: Clock = {
    now: clock.now,
    monotonic: () => clock.monotonic() * speed,
    steady: () => clock.steady() * speed,
    after: (delayMs, callback) => clock.after(delayMs / speed, callback),
  };
  return { ...virtualEnvironment(), clock: faster };
}

/** Starts a supervised server in `folder`; `config` is made for its JetStream folder. */
export function supervise(
  options: { program: string; folder: string; config: (storeDir: string) => string },
  environment: Environment = watchedEnvironment(),
): Promise<NatsServerProcess> {
  const { program, folder } = options;
  const storeDir = join(folder, 'jetstream');
  return superviseNatsServer({ program, folder, storeDir, config: options.config(storeDir) }, environment);
}

/** What a user does: `discedge certs ca`, then `discedge certs node` for each node. */
export async function makeCertificates(dir: string, cluster: string, nodeIds: readonly string[]): Promise<void> {
  await certs('ca', '--dir', dir, '--cluster', cluster);
  for (const nodeId of nodeIds) await certs('node', nodeId, '--dir', dir, '--host', 'edge.example,10.0.0.1');
}

export async function certs(...args: readonly string[]): Promise<void> {
  await promisify(execFile)(process.execPath, [CLI_PATH, 'certs', ...args]);
}

export function tlsOf(dir: string, cluster: string, nodeId: string): NatsServerTls {
  const folder = join(dir, nodeId);
  return {
    certFile: join(folder, 'node.crt'),
    keyFile: join(folder, 'node.key'),
    caFile: join(folder, 'ca.crt'),
    cluster: cluster as ClusterName,
  };
}

/** Connects as a node would; a refused connection is not tried again. */
export function connectAs(
  { url, tls, nodeId }: { url: string; tls?: NatsServerTls; nodeId: string },
  options: ConnectionOptions = {},
): Promise<NatsConnection> {
  return connect({
    servers: url,
    inboxPrefix: inboxPrefix(nodeId as NodeId),
    reconnectTimeWait: 20,
    maxReconnectAttempts: -1,
    ...(tls && {
      tls: {
        cert: readFileSync(tls.certFile, 'utf8'),
        key: readFileSync(tls.keyFile, 'utf8'),
        ca: readFileSync(tls.caFile, 'utf8'),
      },
    }),
    ...options,
  });
}

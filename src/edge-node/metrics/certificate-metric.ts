import type { Metrics } from '../../environment/environment.ts';

/** When the certificate ends that this node shows other nodes, as it was when the node began. */
export function exposeNodeCertificate(notAfterMs: number, metrics: Metrics): void {
  metrics.gauge(
    {
      name: 'discedge_node_certificate_expires_timestamp_seconds',
      help: 'When the certificate that this node shows other nodes expires, in seconds since 1970',
    },
    () => notAfterMs / 1000,
  );
}

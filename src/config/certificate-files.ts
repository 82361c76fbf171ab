import { join } from 'node:path';

/** Paths of a node's PEM files. */
export interface NodeCertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** The files as `discedge certs` makes them in a node's folder. */
export function certificatesIn(folder: string): NodeCertificateFiles {
  return {
    certFile: join(folder, 'node.crt'),
    keyFile: join(folder, 'node.key'),
    caFile: join(folder, 'ca.crt'),
  };
}

import { certificatesIn } from './certificate-files.ts';
import type { Complain } from './given-settings.ts';
import type { Settings } from './settings/settings.ts';

/** Paths of the PEM files that the HTTP API is served over TLS with. */
export interface HttpsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities of clients, all of which then need a certificate; `undefined`: none does. */
  readonly clientCaFile: string | undefined;
}

/** `undefined`: plain HTTP. */
export function readHttps(settings: Settings, complain: Complain): HttpsFiles | undefined {
  const { tls, tlsCertFile: certFile, tlsKeyFile: keyFile, tlsClientCaFile: clientCaFile } = settings;
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile, clientCaFile };
  if (certFile !== undefined) complain('tlsCertFile', 'needs tls-key-file, its key');
  if (keyFile !== undefined) complain('tlsKeyFile', 'needs tls-cert-file, the certificate that it is the key of');
  if (!tls) {
    if (clientCaFile !== undefined)
      complain('tlsClientCaFile', 'needs tls: over plain HTTP nobody shows a certificate');
    return undefined;
  }
  const folder = settings.certsDir ?? settings.fredCertsDir;
  if (folder === undefined) {
    complain('tls', 'needs certs-dir, which "discedge certs" makes, or tls-cert-file and tls-key-file');
    return undefined;
  }
  const files = certificatesIn(folder);
  return { certFile: files.certFile, keyFile: files.keyFile, clientCaFile };
}

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { HttpsFiles } from '../config/https-config.ts';
import { parsedFrom, readPem } from './pem-files.ts';
import { unusable } from './unusable.ts';

/** What a server needs to speak TLS, as PEM, and until when its certificate is valid. */
export interface HttpsCertificate {
  readonly cert: string;
  readonly key: string;
  /** Authorities of clients; `undefined`: clients need no certificate. */
  readonly clientCa: string | undefined;
  readonly notAfterMs: number;
}

/**
 * Reads what HTTPS is served with. Throws `certificate_unusable` for what cannot be read, does not belong together, has
 * expired at `nowMs`, or is nothing that a server could use.
 */
export async function readHttpsCertificate(
  { certFile, keyFile, clientCaFile }: HttpsFiles,
  nowMs: number,
): Promise<HttpsCertificate> {
  const [cert, key] = [await readPem(certFile), await readPem(keyFile)];
  const clientCa = clientCaFile === undefined ? undefined : await readPem(clientCaFile);
  const certificate = parsedFrom(certFile, () => new X509Certificate(cert));
  const privateKey = parsedFrom(keyFile, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) throw unusable(`${keyFile} is not the key of ${certFile}`);
  const notAfterMs = Date.parse(certificate.validTo);
  if (nowMs > notAfterMs) throw unusable(`${certFile} has expired on ${certificate.validTo}`);
  if (clientCa !== undefined) parsedFrom(clientCaFile as string, () => new X509Certificate(clientCa));
  // The rest of the chain, and what this build of OpenSSL does not take.
  parsedFrom(certFile, () => createSecureContext({ cert, key, ca: clientCa }));
  return { cert, key, clientCa, notAfterMs };
}

/** Another one whenever a file was written anew; one that is not there is as good a difference as any. */
export async function httpsFilesStamp({ certFile, keyFile, clientCaFile }: HttpsFiles): Promise<string> {
  const files = [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])];
  const stamps = files.map((file) =>
    stat(file).then(
      ({ mtimeMs, size, ino }) => `${mtimeMs}/${size}/${ino}`,
      (error: NodeJS.ErrnoException) => error.code,
    ),
  );
  return (await Promise.all(stamps)).join();
}

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { HttpsFiles } from '../config/https-config.ts';
import { DiscedgeError } from '../domain/errors.ts';

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
  const [cert, key] = [await read(certFile), await read(keyFile)];
  const clientCa = clientCaFile === undefined ? undefined : await read(clientCaFile);
  const certificate = parsed(certFile, () => new X509Certificate(cert));
  const privateKey = parsed(keyFile, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) throw unusable(`${keyFile} is not the key of ${certFile}`);
  const notAfterMs = Date.parse(certificate.validTo);
  if (nowMs > notAfterMs) throw unusable(`${certFile} has expired on ${certificate.validTo}`);
  if (clientCa !== undefined) parsed(clientCaFile as string, () => new X509Certificate(clientCa));
  // The rest of the chain, and what this build of OpenSSL does not take.
  parsed(certFile, () => createSecureContext({ cert, key, ca: clientCa }));
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

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unusable(`${path} cannot be read: ${(cause as Error).message}`, cause);
  }
}

function parsed<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw unusable(`${path} cannot be used: ${(cause as Error).message}`, cause);
  }
}

function unusable(message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('certificate_unusable', message, { cause });
}

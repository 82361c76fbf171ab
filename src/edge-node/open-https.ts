import type { Server } from 'node:tls';
import { type HttpsCertificate, httpsFilesStamp, readHttpsCertificate } from '../certificates/https-certificate.ts';
import type { EdgeNodeConfig } from '../config/config.ts';
import type { Environment } from '../environment/environment.ts';
import { secureContextOptions } from '../http/connections/tls-server.ts';
import { repeat } from '../waiting/repeat.ts';

/** How soon a certificate that was renewed is served. */
const LOOK_EVERY_MS = 1_000;

/** What a node serves HTTPS with, now and from now on. */
export interface OpenedHttps {
  /** As it was read at the start. */
  readonly certificate: HttpsCertificate;
  /** Has `server` take up what changes; connections that are open go on with what they began with. */
  follow(server: Server): void;
  close(): Promise<void>;
}

/**
 * The certificate that the configuration names, `undefined` for plain HTTP. Throws `certificate_unusable`; later only the log tells
 * of files that cannot be used, and what was served before goes on.
 */
export async function openHttps(
  { https: files }: Pick<EdgeNodeConfig, 'https'>,
  { clock, logger, metrics }: Environment,
): Promise<OpenedHttps | undefined> {
  if (files === undefined) return undefined;
  // Taken before the files are read: what changes meanwhile is read again.
  let stamp = await httpsFilesStamp(files);
  const certificate = await readHttpsCertificate(files, clock.now());
  let { notAfterMs } = certificate;
  let end = async () => {};
  metrics.gauge(
    {
      name: 'discedge_https_certificate_expires_timestamp_seconds',
      help: 'When the certificate that HTTPS is served with expires, in seconds since 1970',
    },
    () => notAfterMs / 1000,
  );

  const takeUp = async (server: Server) => {
    const found = await httpsFilesStamp(files);
    if (found === stamp) return;
    stamp = found;
    const renewed = await readHttpsCertificate(files, clock.now());
    server.setSecureContext(secureContextOptions(renewed));
    notAfterMs = renewed.notAfterMs;
    logger.info('https_certificate_renewed', { expires: new Date(notAfterMs).toISOString() });
  };
  return {
    certificate,
    follow(server) {
      end = repeat({ clock, everyMs: LOOK_EVERY_MS }, () =>
        takeUp(server).catch((error: unknown) => logger.warn('https_certificate_unusable', {}, error)),
      );
    },
    close: () => end(),
  };
}

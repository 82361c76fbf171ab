import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials, ServerCredentials } from '@grpc/grpc-js';
import { DiscedgeError } from '../../../domain/errors.ts';

/** PEM. One certificate serves as client's, towards FReD, and as server's, towards its triggers. */
export interface FredTls {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface FredTlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Throws `certificate_unusable` for a file that cannot be read. */
export async function readFredTls({ caFile, certFile, keyFile }: FredTlsFiles): Promise<FredTls> {
  try {
    const [ca, certificate, key] = await Promise.all([readFile(caFile), readFile(certFile), readFile(keyFile)]);
    return { ca, certificate, key };
  } catch (cause) {
    throw new DiscedgeError('certificate_unusable', `FReD's certificates cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** TLS allows no address as a server's name, and FReD does not ask for one; the address is checked against the certificate. */
const NAME_FOR_ADDRESSES = 'localhost';

/** What a channel to `host` (`name:port` or `address:port`) needs. Throws `certificate_unusable` for what is no certificate. */
export function channelSecurity(
  host: string,
  tls: FredTls,
): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions } {
  const name = hostName(host);
  return {
    credentials: usable(() =>
      credentials.createSsl(tls.ca, tls.key, tls.certificate, {
        checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
      }),
    ),
    options: isIP(name) === 0 ? {} : { 'grpc.ssl_target_name_override': NAME_FOR_ADDRESSES },
  };
}

/** Of a service that only holders of a certificate of the same authority may call. */
export function serverSecurity(tls: FredTls): ServerCredentials {
  return usable(() =>
    ServerCredentials.createSsl(tls.ca, [{ private_key: tls.key, cert_chain: tls.certificate }], true),
  );
}

/** `host:port` without its port, an IPv6 address without its brackets. */
function hostName(host: string): string {
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

function usable<Value>(make: () => Value): Value {
  try {
    return make();
  } catch (cause) {
    throw new DiscedgeError('certificate_unusable', `FReD's certificates cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}

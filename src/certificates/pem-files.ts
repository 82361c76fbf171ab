import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { unusable } from './unusable.ts';

/** How a node comes by the files that it talks to other nodes with. */
const MAKE_IT = '; make it with "discedge certs node"';

/** The certificates in a node's file, the first of which is whose file it is. Throws `certificate_unusable`. */
export async function readCertificates(path: string): Promise<X509Certificate[]> {
  const blocks = (await readPem(path, MAKE_IT)).match(CERTIFICATE_BLOCKS) ?? [];
  if (blocks.length === 0) throw unusable(`${path} holds no certificate`);
  return blocks.map((block) => parsedFrom(path, () => new X509Certificate(block)));
}

const CERTIFICATE_BLOCKS = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The key in a node's file. Throws `certificate_unusable`. */
export async function readKey(path: string): Promise<KeyObject> {
  const text = await readPem(path, MAKE_IT);
  return parsedFrom(path, () => createPrivateKey(text));
}

/** The text of a file. Throws `certificate_unusable`, with `advice`, where it cannot be read. */
export async function readPem(path: string, advice = ''): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unusable(`${path} cannot be read: ${(cause as Error).message}${advice}`, cause);
  }
}

/** What `parse` makes of that file's text. Throws `certificate_unusable` for whatever it throws. */
export function parsedFrom<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw unusable(`${path} cannot be used: ${(cause as Error).message}`, cause);
  }
}

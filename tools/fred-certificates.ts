import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type FredTls, readFredTls } from '../src/context-store/fred/wire/fred-tls.ts';

/**
 * Those of any edge node in a folder that "discedge certs fred" made: all have the name that FReD knows edge nodes by. Throws where
 * there are none.
 */
export async function fredCertificates(folder: string): Promise<FredTls> {
  const found = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('node.crt')).sort()[0];
  if (found === undefined) throw new Error(`there is no node.crt in ${folder}; "discedge certs fred node" makes it`);
  const file = (name: string) => join(folder, dirname(found), name);
  return readFredTls({ caFile: file('ca.crt'), certFile: file('node.crt'), keyFile: file('node.key') });
}

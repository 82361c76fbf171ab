import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type FredTls, readFredTls } from '../../../src/context-store/fred/wire/fred-tls.ts';
import { FredDoubles } from '../../../tools/fred-double/fred-doubles.ts';
import type { WrittenSessions } from '../written-session.ts';
import { type FredScale, measureFred } from './measure-fred.ts';

export interface FredFlags {
  /** `HOST:PORT,HOST:PORT`, client ports. */
  readonly fred: string;
  /** Folder that "discedge certs fred" made. */
  readonly certs: string | undefined;
  /** `PORT,PORT`: peer ports on this machine. */
  readonly peerPorts: string | undefined;
}

interface Load {
  readonly sessions: WrittenSessions;
  readonly scale: FredScale;
}

/** On nodes that somebody has started. */
export async function benchFredNodes({ fred, certs, peerPorts }: FredFlags, load: Load): Promise<object[]> {
  const [near, far] = fred.split(',').map((host) => host.trim());
  if (certs === undefined) throw new Error('--fred needs --certs, the folder that "discedge certs fred" made');
  if (near === undefined || far === undefined) throw new Error('--fred takes the client ports of two FReD nodes');
  const nodes = {
    nodes: 'real',
    hosts: [near, far],
    peerPorts: peerPorts?.split(',').map(Number) ?? [],
    tls: await certificatesIn(certs),
  } as const;
  return measureFred(nodes, load);
}

/** On two doubles in this process. In a network namespace of its own the loopback cuts messages as a cable would. */
export async function benchFredDoubles({ ownsNetwork }: { ownsNetwork: boolean }, load: Load): Promise<object[]> {
  if (ownsNetwork) execFileSync('ip', ['link', 'set', 'lo', 'up', 'mtu', '1500', 'gso_max_segs', '1']);
  const doubles = await FredDoubles.start(['e1', 'e2']);
  try {
    const [near, far] = doubles.nodes.map(({ advertisedHost }) => advertisedHost) as [string, string];
    const peerPorts = doubles.nodes.map(({ peerHost }) => Number(peerHost.split(':')[1]));
    const tls = await certificatesIn(doubles.certificates);
    return await measureFred({ nodes: 'double', hosts: [near, far], peerPorts, tls }, load);
  } finally {
    await doubles.close();
  }
}

/** Those of any edge node in the folder: all have the name that FReD knows edge nodes by. */
async function certificatesIn(folder: string): Promise<FredTls> {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((path) => path.endsWith('node.crt'));
  if (found === undefined) throw new Error(`there is no node.crt in ${folder}; "discedge certs fred node" makes it`);
  const file = (name: string) => join(folder, dirname(found), name);
  return readFredTls({ caFile: file('ca.crt'), certFile: file('node.crt'), keyFile: file('node.key') });
}

import { execFileSync } from 'node:child_process';
import { fredCertificates } from '../../../tools/fred-certificates.ts';
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
    tls: await fredCertificates(certs),
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
    const tls = await fredCertificates(doubles.certificates);
    return await measureFred({ nodes: 'double', hosts: [near, far], peerPorts, tls }, load);
  } finally {
    await doubles.close();
  }
}

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

export interface Traffic {
  /** IP packets and their bytes, both ways: what the interface counted without the 14 bytes of Ethernet on each frame. */
  readonly packets: number;
  readonly bytes: number;
}

const [NEAR, FAR] = ['near0', 'far0'] as const;
const ADDRESSES = { [NEAR]: '10.78.0.1', [FAR]: '10.78.0.2' } as const;
/** Set and told to the other end, so that nobody has to ask: no ARP on the line. */
const HARDWARE = { [NEAR]: '02:00:00:00:00:01', [FAR]: '02:00:00:00:00:02' } as const;
const ETHERNET_BYTES = 14;

/** Whether this process may make network namespaces of its own, as root or not. */
export function namespacesAllowed(): boolean {
  const script = `ip link add ${NEAR} type veth peer name ${FAR} && ip link set ${NEAR} gso_max_segs 1 && unshare --net true`;
  return spawnSync('unshare', ['-Urn', 'sh', '-c', script], { stdio: 'ignore' }).status === 0;
}

/** Runs a Node.js program as root of a network namespace of its own; resolves to its exit status. */
export async function runInNamespace(words: readonly string[]): Promise<number> {
  const child = spawn('unshare', ['-Urn', process.execPath, ...process.execArgv, ...words], { stdio: 'inherit' });
  const [status] = (await once(child, 'exit')) as [number | null];
  return status ?? 1;
}

/**
 * This process's network namespace and another one, joined by a pair of virtual Ethernet interfaces and nothing else.
 * Segments are cut to size before they are counted, so what is counted is what a cable would carry.
 */
export class JoinedNamespaces {
  readonly near = ADDRESSES[NEAR];
  readonly far = ADDRESSES[FAR];
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async make(): Promise<JoinedNamespaces> {
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready && exec sleep infinity'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    const joined = new JoinedNamespaces(holder);
    const ip = (...words: string[]) => execFileSync('ip', words);
    ip('link', 'add', NEAR, 'address', HARDWARE[NEAR], 'type', 'veth', 'peer', 'name', FAR, 'address', HARDWARE[FAR]);
    ip('link', 'set', FAR, 'netns', String(holder.pid));
    for (const [name, other] of [
      [NEAR, FAR],
      [FAR, NEAR],
    ] as const) {
      const script = `ip link set lo up
        echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6
        ip link set ${name} gso_max_segs 1
        ip address add ${ADDRESSES[name]}/24 dev ${name}
        ip link set ${name} up
        ip neighbour replace ${ADDRESSES[other]} lladdr ${HARDWARE[other]} dev ${name} nud permanent`;
      const [command = '', ...words] = [...(name === FAR ? joined.enterFar() : []), 'sh', '-ec', script];
      execFileSync(command, words);
    }
    return joined;
  }

  /** What a command line begins with to run at the far end. */
  enterFar(): string[] {
    return ['nsenter', `--net=/proc/${this.#holder.pid}/ns/net`, '--'];
  }

  traffic(): Traffic {
    const line = readFileSync('/proc/net/dev', 'utf8')
      .split('\n')
      .find((text) => text.trim().startsWith(`${NEAR}:`));
    const counts = (line?.split(':')[1] ?? '').trim().split(/\s+/).map(Number);
    const packets = (counts[1] as number) + (counts[9] as number);
    return { packets, bytes: (counts[0] as number) + (counts[8] as number) - packets * ETHERNET_BYTES };
  }

  end(): void {
    this.#holder.kill('SIGKILL');
  }
}

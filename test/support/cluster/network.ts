import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What happens to packets from one end to another. */
export interface PathState {
  readonly cut?: boolean;
  readonly delayMs?: number;
  /** Share of packets that are lost, 0 to 1. */
  readonly loss?: number;
}

/**
 * Network namespaces joined by test/support/cluster/packet-switch.c, which can do to the packets between any two of them,
 * in either direction, what a bad link does. End 1 is this process's own namespace; the clients are there.
 */
export class Network {
  /** Processes that do nothing but keep a namespace; the first is end 2's. */
  readonly #holders: readonly ChildProcess[];
  readonly #switch: ChildProcess;
  readonly #answers: Array<() => void> = [];
  readonly #states = new Map<string, PathState>();

  private constructor(holders: readonly ChildProcess[], packetSwitch: ChildProcess) {
    this.#holders = holders;
    this.#switch = packetSwitch;
  }

  /** Needs a network namespace in which this process may do everything. `program` is the compiled packet switch. */
  static async make(ends: number, { program, seed }: { program: string; seed: number }): Promise<Network> {
    const holders = Array.from({ length: ends - 1 }, () =>
      spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo ready && exec sleep infinity'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    );
    await Promise.all(holders.map((holder) => once(holder)));
    const packetSwitch = spawn(
      program,
      [String(seed), '/proc/self/ns/net', ...holders.map(({ pid }) => `/proc/${pid}/ns/net`)],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await once(packetSwitch);
    const network = new Network(holders, packetSwitch);
    createInterface({ input: packetSwitch.stdout as NonNullable<ChildProcess['stdout']> }).on('line', () =>
      network.#answers.shift()?.(),
    );
    for (let end = 1; end <= ends; end++) {
      const [command = '', ...args] = network.enter(end, [
        'sh',
        '-c',
        `ip link set lo up && ip addr add ${network.address(end)}/24 dev mesh0 && ip link set mesh0 up`,
      ]);
      execFileSync(command, args);
    }
    return network;
  }

  get ends(): number {
    return this.#holders.length + 1;
  }

  address(end: number): string {
    return `10.77.0.${end}`;
  }

  /** A command line that runs `words` in the namespace of `end`. */
  enter(end: number, words: readonly string[]): string[] {
    const holder = this.#holders[end - 2];
    return holder === undefined ? [...words] : ['nsenter', `--net=/proc/${holder.pid}/ns/net`, '--', ...words];
  }

  /** One direction; resolves when it is in force. */
  async set(from: number, to: number, state: PathState): Promise<void> {
    const { cut = false, delayMs = 0, loss = 0 } = state;
    this.#states.set(`${from} ${to}`, state);
    const inForce = new Promise<void>((resolve) => this.#answers.push(resolve));
    this.#switch.stdin?.write(`${from} ${to} ${cut ? 1 : 0} ${delayMs} ${Math.round(loss * 1e6)}\n`);
    await inForce;
  }

  async setBoth(one: number, other: number, state: PathState): Promise<void> {
    await Promise.all([this.set(one, other, state), this.set(other, one, state)]);
  }

  /** All directions as they were made. */
  async heal(): Promise<void> {
    const changed = [...this.#states.keys()];
    this.#states.clear();
    await Promise.all(changed.map((ends) => this.set(...(ends.split(' ').map(Number) as [number, number]), {})));
    this.#states.clear();
  }

  end(): void {
    for (const child of [this.#switch, ...this.#holders]) child.kill('SIGKILL');
  }
}

/** The first line of output; rejects when there is none. */
function once(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${child.spawnfile} ended with status ${code}`)));
  });
}

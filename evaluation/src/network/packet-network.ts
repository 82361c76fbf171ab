import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { DiscedgeError } from 'discedge/internal/domain/errors';

/** What one direction of a link does to packets. */
export interface Link {
  readonly delayMs?: number | undefined;
  /** Share of packets that are lost, 0 to 1; 1 is a cut. */
  readonly loss?: number | undefined;
  /** `undefined`: as fast as the machine. */
  readonly mbitPerS?: number | undefined;
}

export interface PathBytes {
  /** Of IP packets, their headers included. */
  readonly bytes: number;
  readonly packets: number;
}

const HOLD = ['--net', 'sh', '-c', 'ip link set lo up && echo ready && exec sleep infinity'];

/**
 * Network namespaces joined by packet-switch.c, which counts what goes between any two of them and does to it what a slow
 * or bad link does. End 1 is this process's own namespace, where the clients are; it must be one in which it may do
 * everything (namespace-run.ts).
 */
export class PacketNetwork {
  readonly #holders: readonly ChildProcess[];
  readonly #switch: ChildProcess;
  readonly #answers: Array<(line: string) => void> = [];

  private constructor(holders: readonly ChildProcess[], packetSwitch: ChildProcess) {
    this.#holders = holders;
    this.#switch = packetSwitch;
    createInterface({ input: packetSwitch.stdout as NonNullable<ChildProcess['stdout']> }).on('line', (line) =>
      this.#answers.shift()?.(line),
    );
  }

  /** `program` is the compiled packet switch. Throws `experiment_unavailable`. */
  static async make(ends: number, { program, seed }: { program: string; seed: number }): Promise<PacketNetwork> {
    const holders = Array.from({ length: ends - 1 }, () =>
      spawn('unshare', HOLD, { stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    const started: ChildProcess[] = [...holders];
    try {
      await Promise.all(holders.map(ready));
      const namespaces = ['/proc/self/ns/net', ...holders.map(({ pid }) => `/proc/${pid}/ns/net`)];
      const packetSwitch = spawn(program, [String(seed), ...namespaces], { stdio: ['pipe', 'pipe', 'pipe'] });
      started.push(packetSwitch);
      await ready(packetSwitch);
      const network = new PacketNetwork(holders, packetSwitch);
      for (let end = 1; end <= ends; end++) network.#configure(end);
      return network;
    } catch (cause) {
      for (const child of started) child.kill('SIGKILL');
      throw new DiscedgeError('experiment_unavailable', `no network could be made: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  address(end: number): string {
    return `10.78.0.${end}`;
  }

  /** What a command line begins with to run in the namespace of `end`. */
  enter(end: number): readonly string[] {
    const holder = this.#holders[end - 2];
    return holder === undefined ? [] : ['nsenter', `--net=/proc/${holder.pid}/ns/net`, '--'];
  }

  /** One direction, for packets that are sent from now on; resolves when it is in force. */
  async set(from: number, to: number, { delayMs = 0, loss = 0, mbitPerS }: Link): Promise<void> {
    const bytesPerS = mbitPerS === undefined ? 0 : Math.max(1, Math.round((mbitPerS * 1e6) / 8));
    await this.#ask(`set ${from} ${to} ${Math.round(delayMs * 1000)} ${Math.round(loss * 1e6)} ${bytesPerS}`);
  }

  async setBoth(one: number, other: number, link: Link): Promise<void> {
    await Promise.all([this.set(one, other, link), this.set(other, one, link)]);
  }

  /** What was sent either way since the network was made; lost packets count. */
  async count(one: number, other: number): Promise<PathBytes> {
    const lines = await Promise.all([this.#ask(`count ${one} ${other}`), this.#ask(`count ${other} ${one}`)]);
    const [there, back] = lines.map((line) => line.split(' ').map(Number)) as [number[], number[]];
    const sum = (column: number) => (there[column] as number) + (back[column] as number);
    return { bytes: sum(0), packets: sum(1) };
  }

  async close(): Promise<void> {
    const children = [this.#switch, ...this.#holders].filter(
      ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
    );
    await Promise.all(
      children.map((child) => {
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        return exited;
      }),
    );
  }

  #configure(end: number): void {
    const [command = '', ...args] = [
      ...this.enter(end),
      ...['sh', '-c', `ip link set lo up && ip addr add ${this.address(end)}/24 dev edge0 && ip link set edge0 up`],
    ];
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  #ask(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#answers.push(resolve);
      this.#switch.stdin?.write(`${line}\n`, (error) => error && reject(error));
    });
  }
}

/** The first line of output; rejects with what it complains about when there is none. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let complaint = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint += chunk;
    });
    child.stdout?.once('data', () => resolve());
    child.once('error', reject);
    child.once('close', (code) =>
      reject(new Error(complaint.trim() || `${child.spawnfile} ended with status ${code}`)),
    );
  });
}

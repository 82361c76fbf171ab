import { type ChildProcess, spawn } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { nearest } from 'discedge/internal/domain/nearest';
import type { Clock } from 'discedge/internal/environment/environment';
import { PcapDamage, PcapStream } from './pcap-stream.ts';
import { type TcpPacket, tcpPacketOf } from './tcp-packet.ts';

export interface CaptureOptions {
  /** TCP ports; packets to and from them are taken. At least one. */
  readonly ports: readonly number[];
  /** `undefined`: all of them on Linux, tcpdump's choice elsewhere. */
  readonly interface: string | undefined;
  readonly onPacket: (packet: TcpPacket) => void;
  readonly clock: Clock;
  /** The program to run; found on the PATH. */
  readonly program?: string | undefined;
}

export interface Capture {
  /** Resolves when tcpdump has ended, by `stop` or by itself. Rejects with what `onPacket` threw. */
  readonly ended: Promise<CaptureEnd>;
  /** Takes what is on its way, then ends. Idempotent. */
  stop(): Promise<CaptureEnd>;
}

export interface CaptureEnd {
  /** What tcpdump could not keep up with; the packets told are then not all there were. */
  readonly droppedPackets: number;
  /** Frames in which no TCP packet was found. */
  readonly unreadableFrames: number;
  /** Why it ended early; `undefined` when it was stopped. */
  readonly failure: string | undefined;
}

/** Link header, IPv6 and TCP header at their longest: what a packet is and how long, but nothing of what it says. */
const SNAPSHOT_BYTES = 160;
/** Packets of the last moment pass through the kernel and tcpdump first. */
const SETTLE_MS = 200;
/** tcpdump ends in milliseconds; one that does not hangs. */
const STOP_WAIT_MS = 5_000;
/** Its start-up lines and a few warnings. */
const STDERR_CHARS_MAX = 10_000;

/**
 * Captures with tcpdump, and resolves once it does. Throws `capture_unavailable`: no tcpdump, no right to capture, no
 * such interface; the message says what to do.
 */
export async function startCapture(options: CaptureOptions): Promise<Capture> {
  const { program = 'tcpdump', ports } = options;
  const device = options.interface ?? (process.platform === 'linux' ? 'any' : undefined);
  const filter = ports.map((port) => `tcp port ${port}`).join(' or ');
  const where = device === undefined ? [] : ['-i', device];
  const how = ['-n', '-p', '-U', '--immediate-mode', '-s', String(SNAPSHOT_BYTES), '-w', '-'];
  // In a group of its own: Ctrl-C, which goes to a whole group, would end it before it has told what is on its way.
  const child = spawn(program, [...where, ...how, filter], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const running = new RunningCapture(child, options);
  try {
    await running.listening;
  } catch (cause) {
    throw explained(cause, running.said, { program, device });
  }
  return running;
}

type ReadableChild = ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream };

class RunningCapture implements Capture {
  readonly ended: Promise<CaptureEnd>;
  /** Rejects when tcpdump ends before it listens. */
  readonly listening: Promise<void>;
  said = '';
  readonly #child: ReadableChild;
  readonly #clock: Clock;
  #stopping: Promise<CaptureEnd> | undefined;
  #unreadable = 0;
  #damage: string | undefined;
  /** What `onPacket` threw. */
  #refused: { readonly error: unknown } | undefined;

  constructor(child: ReadableChild, { onPacket, clock }: CaptureOptions) {
    this.#child = child;
    this.#clock = clock;
    const pcap = new PcapStream();
    child.stdout.on('data', (chunk: Buffer) => this.#read(pcap, chunk, onPacket));
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    this.listening = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.stderr.on('data', (chunk: Buffer) => {
        this.said = (this.said + chunk.toString('utf8')).slice(-STDERR_CHARS_MAX);
        if (/listening on /.test(this.said)) resolve();
      });
      closed.then(() => reject(new Error('tcpdump ended at once')));
    });
    this.ended = closed.then(() => this.#end());
  }

  stop(): Promise<CaptureEnd> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<CaptureEnd> {
    await new Promise<void>((resolve) => {
      this.#clock.after(SETTLE_MS, resolve);
      this.ended.then(
        () => resolve(),
        () => resolve(),
      );
    });
    this.#child.kill('SIGINT');
    const kill = this.#clock.after(STOP_WAIT_MS, () => this.#child.kill('SIGKILL'));
    const end = await this.ended;
    kill();
    return end;
  }

  #read(pcap: PcapStream, chunk: Buffer, onPacket: (packet: TcpPacket) => void): void {
    if (this.#damage !== undefined || this.#refused !== undefined) return;
    try {
      for (const frame of pcap.push(chunk)) {
        const packet = tcpPacketOf(frame);
        if (packet === undefined) this.#unreadable++;
        else onPacket(packet);
      }
    } catch (error) {
      if (error instanceof PcapDamage) this.#damage = `what tcpdump writes ${error.message}`;
      else this.#refused = { error };
      this.#child.kill('SIGKILL');
    }
  }

  #end(): CaptureEnd {
    if (this.#refused !== undefined) throw this.#refused.error;
    const dropped = /(\d+) packets? dropped by (?:kernel|interface)/g;
    const droppedPackets = [...this.said.matchAll(dropped)].reduce((sum, match) => sum + Number(match[1]), 0);
    const early = this.#stopping === undefined ? `tcpdump ended by itself: ${lastLine(this.said)}` : undefined;
    return { droppedPackets, unreadableFrames: this.#unreadable, failure: this.#damage ?? early };
  }
}

function explained(
  cause: unknown,
  said: string,
  { program, device }: { readonly program: string; readonly device: string | undefined },
): DiscedgeError {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT') {
    return unavailable(
      `${program} is not on the PATH: install it ("apt-get install tcpdump" on Debian and Ubuntu, "dnf install tcpdump" on Fedora, "apk add tcpdump" on Alpine)`,
      cause,
    );
  }
  if (code === 'EACCES' || /permission|not permitted/i.test(said)) {
    return unavailable(
      `this user may not capture traffic: run the command as root (sudo), or allow tcpdump to do it: sudo setcap cap_net_raw,cap_net_admin=eip "$(command -v ${program})"`,
      cause,
    );
  }
  if (/no such device|doesn't exist|no such interface/i.test(said)) {
    const names = [...Object.keys(networkInterfaces()), ...(process.platform === 'linux' ? ['any'] : [])];
    const meant = nearest(device ?? '', names);
    const advice = meant === undefined ? '' : `: did you mean "${meant}"?`;
    return unavailable(`there is no interface "${device}"${advice} There are ${names.join(', ')}`, cause);
  }
  return unavailable(`tcpdump does not capture: ${lastLine(said) || (cause as Error).message}`, cause);
}

function unavailable(message: string, cause: unknown): DiscedgeError {
  return new DiscedgeError('capture_unavailable', message, { cause });
}

function lastLine(said: string): string {
  return said.trim().split('\n').at(-1) ?? '';
}

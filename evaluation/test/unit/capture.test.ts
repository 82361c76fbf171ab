/**
 * Captures with programs that stand in for tcpdump: missing, refused, mistaken about the interface, dying half-way,
 * writing nonsense, losing packets. What they print is what tcpdump 4.99 printed on the recording machine.
 */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Capture, startCapture } from '../../src/traffic/capture.ts';
import { recordTraffic } from '../../src/traffic/record-traffic.ts';
import type { TcpPacket } from '../../src/traffic/tcp-packet.ts';

const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const SAMPLE = fileURLToPath(new URL('samples/loopback-ipv4.pcap', import.meta.url));
const LISTENING = "echo 'tcpdump: listening on lo, link-type EN10MB (Ethernet), snapshot length 160 bytes' >&2";
const CAUGHT =
  "printf '10 packets captured\\n20 packets received by filter\\n3 packets dropped by kernel\\n' >&2; exit 0";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'discedge-test-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function program(script: string): string {
  const path = join(folder, 'tcpdump');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

function capture(path: string, onPacket: (packet: TcpPacket) => void = () => {}, name = 'lo'): Promise<Capture> {
  return startCapture({ ports: [4222, 4223], interface: name, onPacket, clock, program: path });
}

describe('what keeps it from starting is said, with what to do', () => {
  it.each<[string, string | undefined, RegExp]>([
    ['no tcpdump', undefined, /is not on the PATH: install it \("apt-get install tcpdump" on Debian/],
    [
      'no right to capture',
      'printf "tcpdump: lo: You don\'t have permission to perform this capture on that device\\n(socket: Operation not permitted)\\n" >&2; exit 1',
      /this user may not capture traffic: run the command as root \(sudo\), or .* sudo setcap cap_net_raw/,
    ],
    [
      'no such interface',
      "printf 'tcpdump: lo0: No such device exists\\n(No such device exists)\\n' >&2; exit 1",
      /there is no interface "lo"/,
    ],
    [
      'anything else',
      "echo 'tcpdump: illegal token: frob' >&2; exit 1",
      /tcpdump does not capture: tcpdump: illegal token/,
    ],
  ])('%s', async (_, script, message) => {
    const path = script === undefined ? join(folder, 'missing') : program(script);
    await expect(capture(path)).rejects.toMatchObject({
      code: 'capture_unavailable',
      message: expect.stringMatching(message),
    });
  });

  it('a file that may not be run', async () => {
    const path = program('exit 0');
    chmodSync(path, 0o644);
    await expect(capture(path)).rejects.toThrow(/may not capture traffic/);
  });

  it('and leaves no files', async () => {
    const request = { ports: [4222], interface: 'lo', durationMs: 1, folder: join(folder, 'results') };
    await expect(recordTraffic({ ...request, program: join(folder, 'missing') })).rejects.toThrow(/not on the PATH/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('while it runs', () => {
  it('asks for both directions of each port, and for headers only', async () => {
    const path = program(
      `echo "$@" > "${folder}/args"; ${LISTENING}; trap "${CAUGHT}" INT; while :; do sleep 0.02; done`,
    );
    const running = await capture(path);
    await running.stop();
    expect(readFileSync(join(folder, 'args'), 'utf8')).toBe(
      '-i lo -n -p -U --immediate-mode -s 160 -w - tcp port 4222 or tcp port 4223\n',
    );
  });

  it('every packet is told, and those lost are counted', async () => {
    const path = program(`${LISTENING}; trap "${CAUGHT}" INT; cat "${SAMPLE}"; while :; do sleep 0.02; done`);
    const packets: TcpPacket[] = [];
    const running = await capture(path, (packet) => packets.push(packet));
    expect(await running.stop()).toEqual({ droppedPackets: 3, unreadableFrames: 0, failure: undefined });
    expect(packets).toHaveLength(10);
    expect(await running.stop()).toEqual(await running.ended);
  });

  it('a tcpdump that dies is told, with its last words', async () => {
    const path = program(
      `${LISTENING}; cat "${SAMPLE}"; echo 'tcpdump: pcap_loop: The interface disappeared' >&2; exit 1`,
    );
    const packets: TcpPacket[] = [];
    const running = await capture(path, (packet) => packets.push(packet));
    expect((await running.ended).failure).toBe(
      'tcpdump ended by itself: tcpdump: pcap_loop: The interface disappeared',
    );
    expect(packets).toHaveLength(10);
  });

  it('what is no capture ends it', async () => {
    const path = program(`${LISTENING}; exec yes nonsense`);
    const running = await capture(path);
    expect((await running.ended).failure).toBe('what tcpdump writes does not begin as a capture does');
  });

  it('an error of who takes the packets ends it, and is thrown', async () => {
    const path = program(`${LISTENING}; cat "${SAMPLE}"; exec sleep 60`);
    const running = await capture(path, () => {
      throw new Error('disk full');
    });
    await expect(running.ended).rejects.toThrow('disk full');
    await expect(running.stop()).rejects.toThrow('disk full');
  });
});

describe('what is recorded', () => {
  const lines = (path: string | undefined) =>
    readFileSync(path as string, 'utf8')
      .trimEnd()
      .split('\n');
  const recording = (script: string, options: { durationMs?: number; signal?: AbortSignal } = {}) =>
    recordTraffic({
      ...{ ports: [45_871], interface: 'lo', durationMs: 1, folder: join(folder, 'results'), program: program(script) },
      ...options,
    });

  it("each packet is a row with the prototype's columns first, and the sums come last", async () => {
    const { end, paths } = await recording(
      `${LISTENING}; trap 'exit 0' INT; cat "${SAMPLE}"; while :; do sleep 0.02; done`,
    );
    const [header, first, ...rest] = lines(paths[0]);
    expect(header).toMatch(/^timestamp,source_ip,type,bytes,packet_number,/);
    expect(first).toBe('1795256995.467926,127.0.0.1,syn,74,1,52502,127.0.0.1,45871,0,74,3402139145,');
    expect(rest).toHaveLength(9);
    const rows = lines(paths[1]).map((line) => JSON.parse(line));
    expect(rows.map(({ kind }) => kind)).toEqual(['traffic_start', ...new Array(10).fill('packet'), 'traffic_end']);
    expect(rows.at(-1)).toEqual(end);
    expect(end).toMatchObject({ complete: true, reason: 'done', all: { packets: 10, payloadBytes: 13, bytes: 689 } });
  });

  it('is incomplete when packets were lost, when tcpdump died and when it was interrupted', async () => {
    const lossy = await recording(`${LISTENING}; trap "${CAUGHT}" INT; while :; do sleep 0.02; done`);
    expect(lossy.end).toMatchObject({ complete: false, reason: 'tcpdump lost 3 packets', dropped_packets: 3 });
    rmSync(join(folder, 'results'), { recursive: true });
    const dead = await recording(`${LISTENING}; exit 1`, { durationMs: 3_600_000 });
    expect(dead.end).toMatchObject({ complete: false, reason: expect.stringContaining('tcpdump ended by itself') });
    rmSync(join(folder, 'results'), { recursive: true });
    const stop = new AbortController();
    stop.abort();
    const stopped = await recording(`${LISTENING}; trap 'exit 0' INT; while :; do sleep 0.02; done`, {
      ...{ durationMs: 3_600_000, signal: stop.signal },
    });
    expect(stopped.end).toMatchObject({ complete: false, reason: 'interrupted', all: { packets: 0 } });
  });
});

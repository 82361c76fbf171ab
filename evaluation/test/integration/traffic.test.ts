/**
 * Captures real traffic with a real tcpdump through the built command line: a known number of bytes over IPv4 and IPv6.
 * Tries to count what was not sent, to miss what was, and to lose rows to Ctrl-C.
 * Left out, with the reason, where there is no tcpdump or no right to use it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/free-port.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { findProgram } from '../../../tools/processes.ts';
import { runCli, startCli } from '../support/run-cli.ts';

const reason = whyNot();
if (reason !== undefined) process.stderr.write(`traffic.test: captures are left out: ${reason}\n`);

const folder = temporaryFolder();
let runs = 0;
let results: string;
beforeEach(() => {
  results = join(folder.path, `results-${++runs}`);
});
afterAll(() => folder.remove());

/** Tries it: rights come in too many ways to be looked up. */
function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'only loopback as Linux has it is known to these tests';
  if (findProgram('tcpdump') === undefined) return 'tcpdump is not installed (apt-get install tcpdump)';
  const tried = spawnSync('tcpdump', ['-i', 'lo', '-n', '--immediate-mode', '-w', '/dev/null', 'tcp port 1'], {
    timeout: 1_000,
    killSignal: 'SIGINT',
    encoding: 'utf8',
  });
  return /listening on/.test(tried.stderr) ? undefined : tried.stderr.trim().split('\n')[0];
}

const capture = (ports: readonly number[], ...args: string[]) =>
  startCli(['traffic', '--port', ...ports.map(String), '-i', 'lo', '-o', results, ...args], { cwd: folder.path });

interface Rows {
  readonly packets: readonly Record<string, string | number>[];
  // biome-ignore lint/suspicious/noExplicitAny: JSON of another process, checked by the assertions
  readonly end: any;
}

function rows(): Rows {
  const [csv, ndjson] = readdirSync(results).sort() as [string, string];
  const all = readFileSync(join(results, ndjson), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const packets = all.filter(({ kind }) => kind === 'packet');
  expect(readFileSync(join(results, csv), 'utf8').trimEnd().split('\n')).toHaveLength(packets.length + 1);
  return { packets, end: all.at(-1) };
}

/** Bytes sent on each connection and direction; what a busy machine had to send again is counted once. */
function streams(packets: Rows['packets']): number[] {
  const lengths = new Map<string, number>();
  const starts = new Map<string, number>();
  for (const { type, source_port: from, destination_port: to, sequence, payload_bytes: payload } of packets) {
    const key = `${from} ${to}`;
    if (type === 'syn') starts.set(key, Number(sequence) + 1);
    else if (Number(payload) > 0) {
      const end = (Number(sequence) - (starts.get(key) as number) + 2 ** 32) % 2 ** 32;
      lengths.set(key, Math.max(lengths.get(key) ?? 0, end + Number(payload)));
    }
  }
  return [...lengths.values()];
}

/** A server that answers with so many bytes once it has got as many as told, and ends. */
async function answering(
  host: string,
  port: number,
  { gets, gives }: { gets: number; gives: number },
): Promise<Server> {
  const server = createServer((socket) => {
    let got = 0;
    socket.on('data', (chunk) => {
      got += chunk.length;
      if (got === gets) socket.end(Buffer.alloc(gives));
    });
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return server;
}

function exchange(host: string, port: number, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(Buffer.alloc(bytes)));
    socket
      .on('error', reject)
      .on('close', () => resolve())
      .resume();
  });
}

describe.skipIf(reason !== undefined)('with tcpdump', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1', 14 + 20],
    ['::1', '[::1]', 14 + 40],
  ])('what goes to and from a port of %s is counted to the byte', async (host, shown, linkAndIpBytes) => {
    const port = await freePort();
    const server = await answering(host, port, { gets: 3_000, gives: 70_000 });
    const running = capture([port], '-d', '3600');
    await running.sees(/capturing port/);
    await exchange(host, port, 3_000);
    await exchange(host, port, 3_000);
    server.close();
    running.interrupt();
    const { code, stdout } = await running.done;
    expect(stdout).toContain('incomplete: interrupted');
    expect(code).toBe(1);
    const { packets, end } = rows();
    expect(end.directions.map(({ from, to }: never) => [from, to])).toEqual([
      [`${shown}:${port}`, shown],
      [shown, `${shown}:${port}`],
    ]);
    expect(streams(packets).toSorted((a, b) => a - b)).toEqual([3_000, 3_000, 70_000, 70_000]);
    expect(packets.filter(({ type }) => type === 'syn')).toHaveLength(4);
    for (const packet of packets) {
      const tcpHeader = (packet.overhead_bytes as number) - linkAndIpBytes;
      expect(tcpHeader).toBeGreaterThanOrEqual(20);
      expect(tcpHeader).toBeLessThanOrEqual(60);
    }
    expect(stdout.split('\n').some((line) => line.startsWith(`${shown}:${port} `))).toBe(true);
  });

  it('ends by itself when the time is over, also without a packet', async () => {
    const { code, stdout, stderr } = await capture([await freePort()], '-d', '0.1').done;
    expect(stderr).toMatch(/^discedge: capturing port \d+ for 0\.1 s\n$/);
    expect(stdout).toMatch(/^no packets\n\ncomplete\n/);
    expect(code).toBe(0);
    expect(rows()).toMatchObject({ packets: [], end: { complete: true, reason: 'done' } });
  });

  it('an interface that is not there is told, with those that are', async () => {
    const { code, stderr } = await runCli(['traffic', '-p', '4222', '-d', '1', '-i', 'loo', '-o', results], {
      cwd: folder.path,
    });
    expect(stderr).toMatch(/^discedge: there is no interface "loo": did you mean "lo"\? There are .*lo.*, any\n$/);
    expect(code).toBe(1);
    expect(existsSync(results)).toBe(false);
  });
});

it('without tcpdump it says how to get it', async () => {
  const { code, stderr } = await runCli(['traffic', '-p', '4222', '-d', '1', '-o', results], {
    cwd: folder.path,
    env: { PATH: folder.path },
  });
  expect(stderr).toMatch(/^discedge: tcpdump is not on the PATH: install it \("apt-get install tcpdump"/);
  expect(code).toBe(1);
  expect(existsSync(results)).toBe(false);
});

it.each([
  [['-d', '1'], /required option '-p, --port <PORT...>' not specified/],
  [['-p', '4222'], /required option '-d, --duration <SECONDS>' not specified/],
  [['-p', '0', '-d', '1'], /It must be a port, from 1 to 65535/],
  [['-p', '4222', '-d', '0'], /It must be a number of seconds above 0, at most 86400/],
])('%s is refused', async (args, message) => {
  const { code, stderr } = await runCli(['traffic', ...args, '-o', results], { cwd: folder.path });
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
});

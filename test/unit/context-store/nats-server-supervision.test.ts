// Tries to make a supervised server restart in a tight loop, to start twice, to be kept after stop, and to fill the log.
// A script stands in for nats-server: it ends exactly when told to, which the real one does not (that one is in
// test/integration/nats-server-process.test.ts). Time is virtual.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { superviseNatsServer } from '../../../src/context-store/nats/server/nats-server-process.ts';
import { serverWarnings } from '../../../src/context-store/nats/server/server-warnings.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';

describe('a server that ends', () => {
  let folder: string;
  let environment: VirtualEnvironment;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'discedge-supervision-'));
    environment = virtualEnvironment();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const READY = 'echo "[1] Listening for client connections on 127.0.0.1:4999" >&2; echo "[1] Server is ready" >&2';
  const starts = () => readFileSync(join(folder, 'starts'), 'utf8').split('\n').length - 1;
  const logged = (event: string) => environment.logLines.filter((line) => line.event === event);

  /** A nats-server that does `body` once it is started. */
  function program(body: string): string {
    const path = join(folder, 'program');
    const version = 'if [ "$1" = --version ]; then echo "nats-server: v2.99.0"; exit; fi';
    writeFileSync(
      path,
      `#!/bin/sh\n${version}\nif [ "$1" = -t ]; then exit; fi\ncd ${folder}\necho >>starts\n${body}\n`,
    );
    chmodSync(path, 0o755);
    return path;
  }
  const supervise = (body: string) =>
    superviseNatsServer(
      { program: program(body), config: '', folder, storeDir: join(folder, 'jetstream') },
      environment,
    );

  it('is started again after ever longer pauses, up to ten seconds', async () => {
    const server = await supervise(READY);
    const pauses: unknown[] = [];
    for (let ended = 1; ended <= 10; ended++) {
      await expect.poll(() => logged('nats_server_ended')).toHaveLength(ended);
      const pauseMs = logged('nats_server_ended')[ended - 1]?.fields.restartInMs as number;
      pauses.push(pauseMs);
      await environment.advance(pauseMs - 1);
      expect(starts()).toBe(ended);
      await environment.advance(1);
      await expect.poll(starts).toBe(ended + 1);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    await server.stop();
    await environment.advance(60_000);
    expect(starts()).toBe(11);
  });

  it('is started soon again when it had run for a while', async () => {
    const server = await supervise(`${READY}; exec sleep 1000`);
    for (const [runMs, pauseMs] of [
      [0, 100],
      [0, 200],
      [30_000, 100],
      [29_000, 200],
    ] as const) {
      const { length } = logged('nats_server_ended');
      await environment.advance(runMs);
      process.kill(server.pid as number, 'SIGKILL');
      await expect.poll(() => logged('nats_server_ended')).toHaveLength(length + 1);
      expect(logged('nats_server_ended').at(-1)?.fields).toEqual({ how: 'SIGKILL', restartInMs: pauseMs });
      await environment.advance(pauseMs);
      // Resolves when the server is ready, which nothing else tells.
      await server.restart('');
    }
    await server.stop();
  });

  it('is tried for ever when a later start fails, and stop ends that', async () => {
    const server = await supervise(`[ -e broken ] && { echo "[1] no luck" >&2; exit 7; }; ${READY}; exec sleep 1000`);
    writeFileSync(join(folder, 'broken'), '');
    process.kill(server.pid as number, 'SIGKILL');
    await expect.poll(() => logged('nats_server_ended')).toHaveLength(1);
    await environment.advance(100);
    for (let failed = 1; failed <= 3; failed++) {
      if (failed > 1) await environment.advance(logged('nats_server_start_failed').at(-1)?.fields.retryInMs as number);
      await expect.poll(() => logged('nats_server_start_failed')).toHaveLength(failed);
    }
    expect(logged('nats_server_start_failed')[0]?.error).toMatchObject({
      code: 'nats_unavailable',
      message: 'nats-server is not ready; it ended with status 7: [1] no luck',
    });
    await server.stop();
    const before = starts();
    await environment.advance(60_000);
    expect(starts()).toBe(before);
  });

  it('and is restarted meanwhile is started once', async () => {
    const server = await supervise(`${READY}; exec sleep 1000`);
    process.kill(server.pid as number, 'SIGKILL');
    await expect.poll(() => logged('nats_server_ended')).toHaveLength(1);
    await Promise.all([server.restart('one'), server.restart('two')]);
    expect(starts()).toBe(3);
    expect(readFileSync(join(folder, 'nats-server.conf'), 'utf8')).toBe('two');
    await environment.advance(60_000);
    expect(starts()).toBe(3);
    expect(environment.logLines).toHaveLength(1);
    await server.stop();
  });

  it('before it is ready has its JetStream data thrown away once, not at every failure', async () => {
    mkdirSync(join(folder, 'jetstream'));
    const attempt = supervise(`echo "[1] 2026/01/01 00:00:00.0 [FTL] Can't start JetStream: broken" >&2; exit 1`);
    await expect(attempt).rejects.toMatchObject({ code: 'nats_unavailable' });
    expect(starts()).toBe(2);
    expect(logged('nats_store_thrown_away')).toHaveLength(1);
  });

  it('is killed when it is not ready in two minutes', async () => {
    const attempt = supervise('exec sleep 1000');
    const refused = expect(attempt).rejects.toThrow(/not ready; it ended with SIGKILL/);
    await expect.poll(starts).toBe(1);
    await environment.advance(120_000);
    await refused;
  });

  it('is killed when it does not heed a request to stop', async () => {
    const server = await supervise(`trap '' TERM; ${READY}; exec sleep 1000`);
    const stopped = server.stop();
    await environment.advance(10_000);
    await stopped;
    expect(server.pid).toBeUndefined();
  });
});

describe('lines of trouble', () => {
  const prefix = '[12] 2026/11/21 07:45:42.691085';

  it('are reported by kind, at once and then once a minute', async () => {
    const environment = virtualEnvironment();
    const read = serverWarnings(environment);
    const reported = () => environment.logLines.map(({ fields }) => fields);
    for (let n = 0; n < 5; n++) read(`${prefix} [ERR] 10.0.0.9:55 - cid:7 - TLS handshake error: remote error`);
    read(`${prefix} [ERR] 10.0.0.9:55 - cid:8 - authentication error`);
    expect(reported()).toEqual([
      { kind: 'tls', lines: 1 },
      { kind: 'authorization', lines: 1 },
    ]);
    await environment.advance(60_000);
    expect(reported().slice(2)).toEqual([{ kind: 'tls', lines: 4 }]);
    await environment.advance(60_000);
    read(`${prefix} [ERR] 10.0.0.9:55 - cid:7 - TLS handshake error: remote error`);
    expect(reported().slice(3)).toEqual([{ kind: 'tls', lines: 1 }]);
    await environment.advance(200_000);
    expect(environment.pendingTimers).toBe(0);
  });

  it.each([
    ['[WRN] Slow Consumer Detected: WriteDeadline of 10s exceeded', 'slow_consumer'],
    [
      '[ERR] 10.0.0.1:5 - cid:9 - "v3.3.1:nats.js:e1" - "$G/user:_@blue" - Publish Violation - Subject "x"',
      'permissions',
    ],
    ['[ERR] 10.0.0.1:5 - cid:9 - "v3.3.1:nats.js:e1" - Subscription Violation - Subject "x", SID 1', 'permissions'],
    ['[WRN] User "e2@blue" found in connect proto, but user required from cert', 'authorization'],
    ['[WRN] JetStream resource limits exceeded for server', 'storage'],
    ['[ERR] Error trying to connect as leafnode to remote server "10.0.0.1:7422"', 'leaf_link'],
    ['[WRN] 10.0.0.1:5 - cid:9 - Readloop processing time: 2.1s', 'connection'],
    ['[ERR] 10.0.0.1:5 - cid:9 - maximum payload violation', 'limits'],
  ])('%j is of the kind %s', (line, kind) => {
    const environment = virtualEnvironment();
    serverWarnings(environment)(`${prefix} ${line}`);
    expect(environment.logLines).toEqual([expect.objectContaining({ level: 'warn', fields: { kind, lines: 1 } })]);
  });

  it('of no known kind say in plain words what they are, without what may name something', () => {
    const environment = virtualEnvironment();
    serverWarnings(environment)(`${prefix} [FTL] something else of e1@blue at 10.0.0.1:4222, "secret.subject"`);
    expect(environment.logLines).toEqual([
      expect.objectContaining({ fields: { kind: 'other', lines: 1, says: 'something else of at' } }),
    ]);
  });

  it('are none where nothing is wrong', () => {
    const environment = virtualEnvironment();
    const read = serverWarnings(environment);
    for (const line of ['', '[INF] [ERR] tls', `${prefix} [INF] TLS required for client connections`]) read(line);
    expect(environment.logLines).toEqual([]);
  });
});

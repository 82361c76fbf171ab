import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findProgram } from '../processes.ts';
import { cacheFolder } from './cache-folder.ts';
import { ensureServers } from './install.ts';
import type { ServerProgram } from './server-program.ts';

/** A nats-server as one executable file, as a node takes it. */
export interface NatsProgram {
  /** "nats-server 2.15.1", for test names. */
  readonly name: string;
  readonly path: string;
}

/**
 * {@link currentNatsProgram}, and an older one: DISCEDGE_NATS_SERVER_OLD=/path, or the package of this
 * machine's own Debian or Ubuntu release, unpacked into the cache folder (as root; nothing is installed). Where there is
 * no older one, a line says so and why.
 */
export async function natsPrograms(): Promise<NatsProgram[]> {
  const programs = [await currentNatsProgram()];
  try {
    const older = named(process.env.DISCEDGE_NATS_SERVER_OLD || fromThisRelease());
    if (older.name !== programs[0]?.name) programs.push(older);
  } catch (error) {
    process.stderr.write(`real servers: tests with an older nats-server are left out: ${(error as Error).message}\n`);
  }
  return programs;
}

/** Of this machine, or installed into the cache where it has none. Throws `ServersMissing`. */
export async function currentNatsProgram(): Promise<NatsProgram> {
  const { 'nats-server': current } = await ensureServers(['nats-server']);
  return named(asOneFile(current));
}

function named(path: string): NatsProgram {
  const output = execFileSync(path, ['--version'], { encoding: 'utf8' });
  return { name: `nats-server ${/v?(\d+\.\d+\.\d+)/.exec(output)?.[1]}`, path };
}

function asOneFile({ command, argsPrefix }: ServerProgram): string {
  if (argsPrefix.length === 0) return command;
  const path = join(cacheFolder(), 'nats-server');
  const words = [command, ...argsPrefix].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  const unfinished = join(mkdtempSync(join(cacheFolder(), 'wrapping-')), 'nats-server');
  writeFileSync(unfinished, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  chmodSync(unfinished, 0o755);
  renameSync(unfinished, path);
  rmSync(resolve(unfinished, '..'), { recursive: true });
  return path;
}

function fromThisRelease(): string {
  const folder = join(cacheFolder(), 'release');
  const path = join(folder, 'usr/sbin/nats-server');
  if (existsSync(path)) return path;
  if (process.getuid?.() !== 0 || findProgram('apt-get') === undefined) {
    throw new Error("this release's package can be fetched on Debian or Ubuntu only, as root");
  }
  process.stderr.write(
    `real servers: fetching this release's nats-server too, with apt-get, into ${folder}; nothing is installed\n`,
  );
  mkdirSync(cacheFolder(), { recursive: true });
  const building = mkdtempSync(join(cacheFolder(), 'release.building-'));
  const run = (command: string, args: readonly string[]) =>
    execFileSync(command, args, { cwd: building, stdio: ['ignore', 'ignore', 'ignore'] });
  try {
    try {
      run('apt-get', ['download', 'nats-server']);
    } catch {
      run('apt-get', ['update']);
      run('apt-get', ['download', 'nats-server']);
    }
    run('dpkg-deb', ['-x', readdirSync(building).find((file) => file.endsWith('.deb')) ?? '', 'unpacked']);
    rmSync(folder, { recursive: true, force: true });
    renameSync(join(building, 'unpacked'), folder);
    return path;
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

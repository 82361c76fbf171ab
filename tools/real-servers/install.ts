import { type SpawnOptions, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../processes.ts';

/** A program as `spawn(command, [...argsPrefix, ...args], { env: { ...process.env, ...env } })` takes it. */
export interface ServerProgram {
  readonly command: string;
  readonly argsPrefix: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where it comes from, in words. */
  readonly origin: string;
}

/** Bump when what lies in the cache folder changes: an older folder is then built anew. */
const CACHE_FORMAT = 1;
const DEBIAN_PACKAGES = 'llama.cpp-tools,nats-server';
const NATS_GO_PACKAGE = 'github.com/nats-io/nats-server/v2@latest';
/** A mirror in the middle of an update is the usual cause of a failure, and is over soon. */
const DEBOOTSTRAP_ATTEMPTS_MAX = 2;
/** A slow mirror needs a few minutes; more than this is a hang, and CI should hear about it. */
const STEP_WAIT_MS = 600_000;
const STEP_OUTPUT_CHARS_MAX = 4_000;
/** Root's PATH has no sbin folders on some machines, and both debootstrap and nats-server live there. */
const SEARCH_PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

const SERVERS = {
  'llama-server': {
    override: 'DISCEDGE_LLAMA_SERVER',
    hints: ['brew install llama.cpp', 'apt install llama.cpp-tools (Debian sid)', 'build llama.cpp from source'],
  },
  'llama-quantize': {
    override: 'DISCEDGE_LLAMA_QUANTIZE',
    hints: ['brew install llama.cpp', 'apt install llama.cpp-tools (Debian sid)', 'build llama.cpp from source'],
  },
  'nats-server': {
    override: 'DISCEDGE_NATS_SERVER',
    hints: ['brew install nats-server', 'apt install nats-server', `go install ${NATS_GO_PACKAGE}`],
  },
} as const;

export type ServerName = keyof typeof SERVERS;
export const serverNames = Object.keys(SERVERS) as ServerName[];

/** Says which servers are missing and how to get them. It is advice, so its stack is left out. */
export class ServersMissing extends Error {
  override readonly name = 'ServersMissing';
  constructor(message: string) {
    super(message);
    this.stack = `${this.name}: ${message}`;
  }
}

/**
 * Finds each server, or installs it: its environment variable (DISCEDGE_LLAMA_SERVER=/path), PATH, the cache folder
 * (`.cache/servers`, or DISCEDGE_TEST_CACHE), Debian's packages when run as root on Debian or Ubuntu, `go install`.
 * Nothing outside the cache folder is changed, save that debootstrap is installed where it is missing.
 * Test runs that ask at the same time wait for one installation. Throws `ServersMissing`.
 */
export async function ensureServers<Name extends ServerName>(
  names: readonly Name[],
): Promise<Record<Name, ServerProgram>> {
  let missing = names.filter((name) => find(name) === undefined);
  if (missing.length > 0) {
    const reasons = await oneAtATime(() => install(names));
    missing = names.filter((name) => find(name) === undefined);
    if (missing.length > 0) throw new ServersMissing(advice(missing, reasons));
  }
  return Object.fromEntries(names.map((name) => [name, find(name)])) as Record<Name, ServerProgram>;
}

function find(name: ServerName): ServerProgram | undefined {
  const { override } = SERVERS[name];
  const overridden = process.env[override];
  if (overridden !== undefined && overridden !== '') {
    const command = findProgram(overridden);
    if (command === undefined) throw new ServersMissing(`${override}=${overridden} is not a program.`);
    return { command, argsPrefix: [], env: {}, origin: override };
  }
  const onPath = findProgram(name);
  if (onPath !== undefined) return { command: onPath, argsPrefix: [], env: {}, origin: 'PATH' };
  return fromDebian(debianFolder(), name) ?? fromGo(name);
}

/** Tries the ways there are; gives back why each of them did not work, for the advice. */
async function install(names: readonly ServerName[]): Promise<string[]> {
  const reasons: string[] = [];
  const isMissing = (name: ServerName) => find(name) === undefined;
  if (!names.some(isMissing)) return reasons;

  const canUseDebian =
    process.platform === 'linux' && process.getuid?.() === 0 && findProgram('apt-get', SEARCH_PATH) !== undefined;
  if (canUseDebian) {
    say(
      `${names.filter(isMissing).join(' and ')} missing; as root this now fetches Debian packages and unpacks them into ${cacheFolder()}` +
        `${findProgram('debootstrap', SEARCH_PATH) === undefined ? ', and installs debootstrap with apt-get first' : ''}. It takes minutes, once. ` +
        `To use your own: ${names.map((name) => `${SERVERS[name].override}=/path/to/${name}`).join(' ')}`,
    );
    await installFromDebian().catch((error: Error) => reasons.push(error.message));
  } else {
    reasons.push("Debian's packages can be fetched here only on Debian or Ubuntu, as root.");
  }
  if (names.filter(isMissing).join() === 'nats-server' && findProgram('go') !== undefined) {
    await installNatsWithGo().catch((error: Error) => reasons.push(error.message));
  }
  return reasons;
}

function advice(missing: readonly ServerName[], reasons: readonly string[]): string {
  const ways = missing.map(
    (name) => `  ${name}: ${SERVERS[name].hints.join('; or ')}; or ${SERVERS[name].override}=/path/to/${name}`,
  );
  return [`Not found: ${missing.join(', ')}. Ways to get them:`, ...ways, ...reasons].join('\n');
}

// ---- Debian ----------------------------------------------------------------------------------------------------

/**
 * The packages are only unpacked, never configured, and the programs run through the dynamic loader that came with
 * them: no chroot and no mounts (a CI container may allow neither), no root when they run, and file paths mean what
 * they say. Debian sid is used because no stable release has llama.cpp.
 */
async function installFromDebian(): Promise<void> {
  mkdirSync(cacheFolder(), { recursive: true });
  const building = mkdtempSync(join(cacheFolder(), 'debian.building-'));
  try {
    const root = join(building, 'root');
    const archives = join(root, 'var/cache/apt/archives');
    const debootstrap = await ensureDebootstrap();
    await retried(DEBOOTSTRAP_ATTEMPTS_MAX, () => {
      rmSync(root, { recursive: true, force: true });
      return step('downloading llama.cpp and nats-server from Debian sid', debootstrap, [
        '--download-only',
        '--variant=minbase',
        `--include=${DEBIAN_PACKAGES}`,
        'sid',
        root,
      ]);
    });
    await step('unpacking them', 'sh', ['-ec', 'for deb in "$1"/*.deb; do dpkg-deb -x "$deb" "$2"; done', 'unpack'], {
      folders: [archives, join(building, 'unpacked')],
    });
    const made = join(building, 'made');
    keepWhatRuns(join(building, 'unpacked'), made);
    for (const name of serverNames) await checkLibraries(programIn(made, name));
    const packages = packageVersions(readdirSync(archives));
    writeFileSync(join(made, 'stamp.json'), `${JSON.stringify({ format: CACHE_FORMAT, packages }, null, 2)}\n`);

    rmSync(debianFolder(), { recursive: true, force: true });
    renameSync(made, debianFolder());
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

async function ensureDebootstrap(): Promise<string> {
  const found = findProgram('debootstrap', SEARCH_PATH);
  if (found !== undefined) return found;
  await step('apt-get update', 'apt-get', ['update']);
  await step('apt-get install debootstrap', 'apt-get', [
    'install',
    '-y',
    '--no-install-recommends',
    'debootstrap',
    // Ubuntu's debootstrap cannot check Debian's signatures without it.
    'debian-archive-keyring',
  ]);
  return findProgram('debootstrap', SEARCH_PATH) ?? 'debootstrap';
}

/** Keeps libraries and the servers of an unpacked Debian; what is left out holds setuid programs, among others. */
function keepWhatRuns(unpacked: string, made: string): void {
  mkdirSync(join(made, 'bin'), { recursive: true });
  const libraries = readdirSync(join(unpacked, 'usr/lib')).find((folder) =>
    loaderIn(join(unpacked, 'usr/lib', folder)),
  );
  if (libraries === undefined) throw new Error("Debian's packages came without a dynamic loader.");
  renameSync(join(unpacked, 'usr/lib', libraries), join(made, 'lib'));
  for (const name of serverNames) {
    const source = findProgram(name, `${join(unpacked, 'usr/bin')}:${join(unpacked, 'usr/sbin')}`);
    if (source === undefined) throw new Error(`Debian's packages came without ${name}.`);
    copyFileSync(source, join(made, 'bin', name));
  }
  // llama.cpp looks for its CPU backends at a fixed path and beside the running program, and the latter is the loader.
  const backends = join(made, 'lib/ggml');
  for (const folder of existsSync(backends) ? readdirSync(backends) : []) {
    for (const file of readdirSync(join(backends, folder))) {
      symlinkSync(join('ggml', folder, file), join(made, 'lib', file));
    }
  }
}

function fromDebian(folder: string, name: ServerName): ServerProgram | undefined {
  return readStampFormat(folder) === CACHE_FORMAT ? programIn(folder, name) : undefined;
}

function programIn(folder: string, name: ServerName): ServerProgram {
  const libraries = join(folder, 'lib');
  const loader = loaderIn(libraries);
  if (loader === undefined) throw new Error(`${libraries} has no dynamic loader; delete ${folder}.`);
  return {
    command: join(libraries, loader),
    argsPrefix: ['--library-path', `${libraries}:${join(libraries, 'llama')}`, join(folder, 'bin', name)],
    env: {},
    origin: `Debian packages in ${folder}`,
  };
}

function loaderIn(libraries: string): string | undefined {
  try {
    return readdirSync(libraries).find((file) => /^ld-linux.*\.so\.\d+$/.test(file));
  } catch {
    return undefined;
  }
}

function readStampFormat(folder: string): unknown {
  try {
    return JSON.parse(readFileSync(join(folder, 'stamp.json'), 'utf8')).format;
  } catch {
    return undefined;
  }
}

/** Has the loader resolve every library: packages that do not fit together fail here and not in the middle of a test. */
async function checkLibraries({ command, argsPrefix }: ServerProgram): Promise<void> {
  await run(command, ['--list', ...argsPrefix]);
}

/** What was downloaded, read from the names of the package files, for the stamp. */
function packageVersions(files: readonly string[]): Record<string, string> {
  const wanted = DEBIAN_PACKAGES.split(',');
  const versions: Record<string, string> = {};
  for (const file of files) {
    const [name = '', version = ''] = decodeURIComponent(file).split('_');
    if (wanted.includes(name)) versions[name] = version;
  }
  return versions;
}

// ---- Go --------------------------------------------------------------------------------------------------------

async function installNatsWithGo(): Promise<void> {
  await step('go install nats-server', 'go', ['install', NATS_GO_PACKAGE], { env: { GOBIN: goFolder() } });
}

function fromGo(name: ServerName): ServerProgram | undefined {
  const command = findProgram(join(goFolder(), name));
  return command === undefined
    ? undefined
    : { command, argsPrefix: [], env: {}, origin: `go install in ${goFolder()}` };
}

// ---- Folders, lock, steps ------------------------------------------------------------------------------------

/** Where servers are kept, without links: what is made there names its own place, and a link to it may be gone by then. */
export function cacheFolder(): string {
  const fromEnvironment = process.env.DISCEDGE_TEST_CACHE;
  const folder = fromEnvironment
    ? resolve(fromEnvironment)
    : fileURLToPath(new URL('../../.cache/servers', import.meta.url));
  return existsSync(folder) ? realpathSync(folder) : folder;
}

function debianFolder(): string {
  return join(cacheFolder(), 'debian');
}

function goFolder(): string {
  return join(cacheFolder(), 'go');
}

/**
 * Runs `work` while no other process on this machine runs it for the same cache folder. The lock is a listening
 * socket: the kernel takes it back however its holder ends, so it is never left behind as a lock file would be.
 */
async function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
  // Only Linux has sockets without a file; elsewhere there is only `go install`, which does not mind company.
  if (process.platform !== 'linux') return work();
  const address = `\0discedge-servers-${createHash('sha256').update(cacheFolder()).digest('hex').slice(0, 16)}`;
  for (;;) {
    const release = await takeLock(address);
    if (release !== undefined) return work().finally(release);
    say('another run is installing the servers; waiting for it');
    await lockReleased(address);
  }
}

function takeLock(address: string): Promise<(() => void) | undefined> {
  return new Promise((done, fail) => {
    const waiting = new Set<Socket>();
    const server = createServer((socket) => {
      waiting.add(socket);
      socket.on('error', () => {}).on('close', () => waiting.delete(socket));
    });
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? done(undefined) : fail(error),
    );
    server.listen(address, () =>
      done(() => {
        server.close();
        for (const socket of waiting) socket.destroy();
      }),
    );
  });
}

function lockReleased(address: string): Promise<void> {
  return new Promise((done, fail) => {
    const socket = connect(address);
    const timer = setTimeout(() => {
      fail(new ServersMissing('Another run has been installing the servers for too long; end it and try again.'));
      socket.destroy();
    }, STEP_WAIT_MS);
    socket
      .on('error', () => {})
      .on('close', () => {
        clearTimeout(timer);
        done();
      });
    socket.resume();
  });
}

async function retried(attemptsMax: number, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= attemptsMax) throw error;
      say(`it failed; trying again (${attempt + 1} of ${attemptsMax})`);
    }
  }
}

/** One slow step: one line when it is done, with the time it took. */
async function step(
  what: string,
  command: string,
  args: readonly string[],
  { folders = [], env = {} }: { folders?: readonly string[]; env?: Record<string, string> } = {},
): Promise<void> {
  const startedAt = performance.now();
  const seconds = () => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  try {
    await run(command, [...args, ...folders], { env });
    say(`${what}: ${seconds()}`);
  } catch (error) {
    say(`${what}: failed after ${seconds()}`);
    throw error;
  }
}

function run(
  command: string,
  args: readonly string[],
  { env = {} }: { env?: Record<string, string> } = {},
): Promise<string> {
  const options: SpawnOptions = {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: SEARCH_PATH, DEBIAN_FRONTEND: 'noninteractive', ...env },
    timeout: STEP_WAIT_MS,
  };
  return new Promise((done, fail) => {
    const child = spawn(command, args, options);
    let output = '';
    const keep = (chunk: Buffer) => {
      output = `${output}${chunk}`.slice(-STEP_OUTPUT_CHARS_MAX);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.once('error', fail);
    child.once('close', (code, signal) => {
      if (code === 0) return done(output);
      const lastLines = output.trim().split('\n').slice(-5).join('\n');
      fail(new Error(`${basename(command)} ended with ${signal ?? `code ${code}`}:\n${lastLines}`));
    });
  });
}

function say(what: string): void {
  process.stderr.write(`real servers: ${what}\n`);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const programs = await ensureServers(serverNames);
    for (const name of serverNames) say(`${name}: ${programs[name].origin}`);
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}

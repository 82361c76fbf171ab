import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../processes.ts';
import { cacheFolder } from './cache-folder.ts';
import { retried, run, SEARCH_PATH, step } from './install-steps.ts';
import { type ServerName, type ServerProgram, serverNames } from './server-program.ts';

/** Bump when what lies in the cache folder changes: an older folder is then built anew. */
const CACHE_FORMAT = 1;
const DEBIAN_PACKAGES = 'llama.cpp-tools,nats-server';
/** A mirror in the middle of an update is the usual cause of a failure, and is over soon. */
const DEBOOTSTRAP_ATTEMPTS_MAX = 2;

/**
 * The packages are only unpacked, never configured, and the programs run through the dynamic loader that came with
 * them: no chroot and no mounts (a CI container may allow neither), no root when they run, and file paths mean what
 * they say. Debian sid is used because no stable release has llama.cpp.
 */
export async function installFromDebian(): Promise<void> {
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

export function fromDebian(name: ServerName): ServerProgram | undefined {
  const folder = debianFolder();
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

function debianFolder(): string {
  return join(cacheFolder(), 'debian');
}

import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../processes.ts';
import { cacheFolder } from './cache-folder.ts';
import { fromDebian, installFromDebian } from './debian-servers.ts';
import { oneAtATime } from './install-lock.ts';
import { SEARCH_PATH, say, step } from './install-steps.ts';
import {
  NATS_GO_PACKAGE,
  SERVERS,
  type ServerName,
  type ServerProgram,
  ServersMissing,
  serverNames,
} from './server-program.ts';

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
  return fromDebian(name) ?? fromGo(name);
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

async function installNatsWithGo(): Promise<void> {
  await step('go install nats-server', 'go', ['install', NATS_GO_PACKAGE], { env: { GOBIN: goFolder() } });
}

function fromGo(name: ServerName): ServerProgram | undefined {
  const command = findProgram(join(goFolder(), name));
  return command === undefined
    ? undefined
    : { command, argsPrefix: [], env: {}, origin: `go install in ${goFolder()}` };
}

function goFolder(): string {
  return join(cacheFolder(), 'go');
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

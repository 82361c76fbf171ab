import { execFile } from 'node:child_process';
import { DiscedgeError } from '../../../domain/errors.ts';

export interface NatsServerVersion {
  readonly major: number;
  readonly minor: number;
}

/** A nats-server that is there and new enough. */
export interface NatsServerProgram {
  readonly path: string;
  readonly version: NatsServerVersion;
}

/** From 2.9 on a consumer's name is part of the request that creates it, so a peer can be held to its own. */
const VERSION_MIN: NatsServerVersion = { major: 2, minor: 9 };
/** Printing a version takes no machine longer. */
const VERSION_WAIT_MS = 10_000;
/** Where Debian puts it, which is not on everyone's PATH. */
const SYSTEM_FOLDER = '/usr/sbin';

/**
 * Looks for `program`, a path or a name on PATH, and asks for its version. Throws `nats_unavailable`, with how to get
 * it, when it is missing, not a nats-server, or older than 2.9.
 */
export async function findNatsServer(program: string): Promise<NatsServerProgram> {
  const candidates = program.includes('/') ? [program] : [program, `${SYSTEM_FOLDER}/${program}`];
  for (const path of candidates) {
    const output = await versionOutput(path);
    if (output !== undefined) return { path, version: checkedVersion(path, output) };
  }
  throw unavailable(
    `${program} is not there; install it (Debian: apt install nats-server, macOS: brew install nats-server, ` +
      'others: https://nats.io/download) or name one that runs with --store nats://HOST:PORT',
  );
}

function checkedVersion(path: string, output: string): NatsServerVersion {
  const [, major, minor] = /nats-server: v?(\d+)\.(\d+)\./.exec(output) ?? [];
  if (major === undefined) throw unavailable(`${path} does not tell its version as a nats-server does`);
  const version = { major: Number(major), minor: Number(minor) };
  const isOld =
    version.major < VERSION_MIN.major || (version.major === VERSION_MIN.major && version.minor < VERSION_MIN.minor);
  if (isOld) {
    throw unavailable(
      `${path} is version ${version.major}.${version.minor}; ${VERSION_MIN.major}.${VERSION_MIN.minor} or later is needed`,
    );
  }
  return version;
}

/** `undefined` when there is no such program. */
function versionOutput(path: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    execFile(path, ['--version'], { timeout: VERSION_WAIT_MS }, (error, stdout, stderr) => {
      if (error === null) resolve(`${stdout}${stderr}`);
      else if (error.code === 'ENOENT') resolve(undefined);
      else reject(unavailable(`${path} --version fails: ${error.message.split('\n', 1)[0]}`, error));
    });
  });
}

function unavailable(message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('nats_unavailable', message, { cause });
}

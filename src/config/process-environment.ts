import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

export type EnvironmentVariables = Readonly<Record<string, string | undefined>>;

/** This process's own. Nothing else reads it. */
export const PROCESS_ENVIRONMENT: EnvironmentVariables = process.env;

/** Whether npm started this process, and so with a shell in between that passes no signal on. */
export function startedByNpm(): boolean {
  return process.env.npm_lifecycle_event !== undefined;
}

/** This process's environment without its key, and with what is meant for a child process alone. */
export function environmentWith(added: Readonly<Record<string, string>>): EnvironmentVariables {
  const { DISCEDGE_ENCRYPTION_KEY: _, ...inherited } = process.env;
  return { ...inherited, ...added };
}

/** `undefined` for a user without a home, as in a container that runs under a number that no account has. */
export function userCacheDir(env: EnvironmentVariables): string | undefined {
  const home = homeDir();
  if (process.platform === 'win32' && env.LOCALAPPDATA) return env.LOCALAPPDATA;
  if (process.platform !== 'win32' && process.platform !== 'darwin' && env.XDG_CACHE_HOME) return env.XDG_CACHE_HOME;
  return home === undefined ? undefined : join(home, ...(CACHE_IN_HOME[process.platform] ?? ['.cache']));
}

/** Where there is none, the process gets one for as long as it lasts: node-llama-cpp asks for it while it loads. */
function homeDir(): string | undefined {
  try {
    return homedir();
  } catch {
    process.env.HOME = tmpdir();
    return undefined;
  }
}

const CACHE_IN_HOME: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  win32: ['AppData', 'Local'],
  darwin: ['Library', 'Caches'],
};

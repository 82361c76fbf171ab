import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureServers } from './install.ts';

const CACHE = fileURLToPath(new URL('../../.cache/servers', import.meta.url));

/** A llama-server as one executable file, as experiments take it. */
export async function llamaServerProgram(): Promise<string> {
  const { 'llama-server': program } = await ensureServers(['llama-server']);
  const { command, argsPrefix, env } = program;
  if (argsPrefix.length === 0 && Object.keys(env).length === 0) return command;
  const path = join(CACHE, 'llama-server');
  const settings = Object.entries(env).map(([name, value]) => quoted(`${name}=${value}`));
  const words = [...(settings.length === 0 ? [] : ['env', ...settings]), ...[command, ...argsPrefix].map(quoted)];
  const unfinished = join(mkdtempSync(join(CACHE, 'wrapping-')), 'llama-server');
  writeFileSync(unfinished, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  chmodSync(unfinished, 0o755);
  renameSync(unfinished, path);
  rmSync(resolve(unfinished, '..'), { recursive: true });
  return path;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

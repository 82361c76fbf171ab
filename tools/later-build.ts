import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RECORD_VERSION_SOURCE = 'src/domain/record/record-version.ts';

/** Sessions of which a later build writes records in its own version; all others need nothing that is new in it. */
export const LATER_SESSIONS = 'later-';

/**
 * Builds, in an empty folder, the node as a later release might be: it knows one more version of the record, and needs it for
 * sessions whose ids begin with {@link LATER_SESSIONS}. Returns its command line.
 */
export function buildLaterNode(folder: string): string {
  for (const name of ['src', 'package.json', 'tsconfig.json', 'tsconfig.build.json'])
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const source = join(folder, RECORD_VERSION_SOURCE);
  const known = readFileSync(source, 'utf8');
  const later = known
    .replace(/(RECORD_FORMAT_VERSION = )(\d+)/, (_, name, version) => `${name}${Number(version) + 1}`)
    .replace(
      /(function formatVersionOf\(.*\{\n)/,
      `$1  if (record.sessionId.startsWith('${LATER_SESSIONS}')) return RECORD_FORMAT_VERSION;\n`,
    );
  if (later.split('\n').length !== known.split('\n').length + 1 || !later.includes(LATER_SESSIONS))
    throw new Error(`${RECORD_VERSION_SOURCE} has changed: say here how a later version differs`);
  writeFileSync(source, later);
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: folder,
    stdio: 'inherit',
  });
  return join(folder, 'dist/cli/main.js');
}

import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RECORD_VERSION_SOURCE = 'src/domain/record/record-version.ts';

/** Sessions of which a later build writes records in its own version; all others need nothing that is new in it. */
export const LATER_SESSIONS = 'later-';

/** The newest version that the earlier build reads. */
export const EARLIER_RECORD_VERSION = 2;

/**
 * Builds, in an empty folder, the node as a later release might be: it knows one more version of the record, and needs it for
 * sessions whose ids begin with {@link LATER_SESSIONS}. Returns its command line.
 */
export function buildLaterNode(folder: string): string {
  return build(folder, (known) => {
    const later = known
      .replace(VERSION, (_, name, version) => `${name}${Number(version) + 1}`)
      .replace(
        /(function formatVersionOf\(.*\{\n)/,
        `$1  if (record.sessionId.startsWith('${LATER_SESSIONS}')) return RECORD_FORMAT_VERSION;\n`,
      );
    return later.split('\n').length === known.split('\n').length + 1 && later.includes(LATER_SESSIONS) ? later : known;
  });
}

/** The same as one that reads records up to {@link EARLIER_RECORD_VERSION} only, and knows of none with added items. */
export function buildEarlierNode(folder: string): string {
  return build(folder, (known) => known.replace(VERSION, (_, name) => `${name}${EARLIER_RECORD_VERSION}`));
}

const VERSION = /(RECORD_FORMAT_VERSION = )(\d+)/;

function build(folder: string, changed: (source: string) => string): string {
  for (const name of ['src', 'package.json', 'tsconfig.json', 'tsconfig.build.json'])
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const source = join(folder, RECORD_VERSION_SOURCE);
  const known = readFileSync(source, 'utf8');
  const other = changed(known);
  if (other === known) throw new Error(`${RECORD_VERSION_SOURCE} has changed: say here how another build differs`);
  writeFileSync(source, other);
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: folder,
    stdio: 'inherit',
  });
  return join(folder, 'dist/cli/main.js');
}

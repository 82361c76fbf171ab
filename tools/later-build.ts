import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RECORD_VERSION_FILE = 'dist/domain/record/record-version.js';

/** Sessions of which a later build writes records in its own version; all others need nothing that is new in it. */
export const LATER_SESSIONS = 'later-';

/** The newest version that the earlier build reads. */
export const EARLIER_RECORD_VERSION = 2;

/**
 * Makes, in an empty folder, of the built node one as a later release might be: it knows one more version of the record, and needs it for
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

function build(folder: string, changed: (compiled: string) => string): string {
  for (const name of ['dist', 'package.json']) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const compiled = join(folder, RECORD_VERSION_FILE);
  const known = readFileSync(compiled, 'utf8');
  const other = changed(known);
  if (other === known) throw new Error(`${RECORD_VERSION_FILE} has changed: say here how another build differs`);
  writeFileSync(compiled, other);
  return join(folder, 'dist/cli/main.js');
}

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { nearest } from '../domain/nearest.ts';
import { MODELS_KEY } from './model-entries.ts';
import { SETTINGS, type SettingName } from './settings/settings.ts';

export interface ConfigFile {
  readonly path: string;
  readonly values: ReadonlyMap<SettingName, unknown>;
  /** What stands under `models`, unread; `undefined` where nothing does. */
  readonly models: unknown;
  /** One sentence each, with the file's path. */
  readonly problems: readonly string[];
}

/** Reads a YAML mapping of setting keys (`max-wait-ms: 500`) to values; reports what is wrong and never throws. */
export function readConfigFile(path: string): ConfigFile {
  const values = new Map<SettingName, unknown>();
  const problems: string[] = [];
  const result: { -readonly [Field in keyof ConfigFile]: ConfigFile[Field] } = {
    ...{ path, values, problems },
    models: undefined,
  };
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    problems.push(`configuration file ${path} cannot be read: ${(error as Error).message}`);
    return result;
  }
  // Loaded where there is a file to read, which most nodes do without.
  const { parseDocument } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  // Its warnings quote the file, too, on the process's own output.
  const document = parseDocument(text, { prettyErrors: true, logLevel: 'error' });
  if (document.errors.length > 0) {
    // Only the first line of each: the rest quotes the file, which may hold a key.
    problems.push(...document.errors.map((error) => `${path}: not YAML: ${error.message.split('\n', 1)[0]}`));
    return result;
  }
  let content: unknown;
  try {
    content = document.toJS();
  } catch {
    // What is wrong with an alias comes out only here. Its name is not repeated: it may be a key that begins with a star.
    problems.push(
      `${path}: not YAML: an alias (*NAME) is of nothing, or of too much; a text that begins with * needs quotes`,
    );
    return result;
  }
  if (content === null || content === undefined) return result;
  if (typeof content !== 'object' || Array.isArray(content)) {
    problems.push(`${path}: must be a list of settings, one "name: value" a line`);
    return result;
  }
  for (const [key, value] of Object.entries(content)) {
    const setting = SETTINGS.find((candidate) => candidate.key === key);
    if (setting === undefined && key !== MODELS_KEY) problems.push(unknownKey(path, key));
    else if (value === null) problems.push(`${path}: ${key} has no value; leave the line out for the default`);
    else if (setting === undefined) result.models = value;
    else values.set(setting.name, value);
  }
  return result;
}

function unknownKey(path: string, key: string): string {
  const meant = nearest(key, [...SETTINGS.map((setting) => setting.key), MODELS_KEY]);
  return `${path}: unknown setting "${key}"${meant === undefined ? '' : `: did you mean "${meant}"?`}`;
}

import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { nearest } from '../domain/nearest.ts';
import { SETTINGS, type SettingName } from './settings.ts';

export interface ConfigFile {
  readonly values: ReadonlyMap<SettingName, unknown>;
  /** One sentence each, with the file's path. */
  readonly problems: readonly string[];
}

/** Reads a YAML mapping of setting keys (`max-wait-ms: 500`) to values; reports what is wrong and never throws. */
export function readConfigFile(path: string): ConfigFile {
  const values = new Map<SettingName, unknown>();
  const problems: string[] = [];
  const result = { values, problems };
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    problems.push(`configuration file ${path} cannot be read: ${(error as Error).message}`);
    return result;
  }
  const document = parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0) {
    // Only the first line of each: the rest quotes the file, which may hold a key.
    problems.push(...document.errors.map((error) => `${path}: not YAML: ${error.message.split('\n', 1)[0]}`));
    return result;
  }
  const content: unknown = document.toJS();
  if (content === null || content === undefined) return result;
  if (typeof content !== 'object' || Array.isArray(content)) {
    problems.push(`${path}: must be a list of settings, one "name: value" a line`);
    return result;
  }
  for (const [key, value] of Object.entries(content)) {
    const setting = SETTINGS.find((candidate) => candidate.key === key);
    if (setting === undefined) problems.push(unknownKey(path, key));
    else if (value === null) problems.push(`${path}: ${key} has no value; leave the line out for the default`);
    else values.set(setting.name, value);
  }
  return result;
}

function unknownKey(path: string, key: string): string {
  const meant = nearest(
    key,
    SETTINGS.map((setting) => setting.key),
  );
  return `${path}: unknown setting "${key}"${meant === undefined ? '' : `: did you mean "${meant}"?`}`;
}

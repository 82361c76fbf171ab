import { nearest } from '../domain/nearest.ts';
import type { ConfigFile } from './config-file.ts';
import type { EnvironmentVariables } from './process-environment.ts';
import { readSecretFile } from './secret-file.ts';
import type { SettingValue } from './settings/setting-schema.ts';
import { readSettingValue } from './settings/setting-values.ts';
import { SETTINGS, type Setting, type SettingName, type Settings, settingNamed } from './settings/settings.ts';

/** Environment variable that names the configuration file. */
export const CONFIG_FILE_ENVIRONMENT_NAME = 'DISCEDGE_CONFIG';

/** By the setting's camelCase name. For a secret: the path of the file that holds it. */
export type SettingFlags = Readonly<Partial<Record<SettingName, unknown>>>;

/** The setting that a problem is about, and the problem. */
export type Complain = (setting: SettingName, problem: string) => void;

interface SettingSources {
  readonly flags: SettingFlags;
  readonly env: EnvironmentVariables;
  readonly file: ConfigFile | undefined;
}

/** Where a value came from, in the words its giver used. */
interface Given {
  readonly place: string;
  readonly value: unknown;
}

/**
 * Settings from flags, environment, file and defaults, the first that has one winning, and whatever is wrong with them: a
 * problem names where the value came from and repeats no secret.
 */
export class GivenSettings {
  /** One sentence each. */
  readonly problems: string[] = [];
  readonly #values: Partial<Record<SettingName, SettingValue>> = {};
  readonly #places = new Map<SettingName, string>();

  constructor(sources: SettingSources) {
    this.problems.push(...misspelledEnvironmentNames(sources.env), ...(sources.file?.problems ?? []));
    for (const setting of SETTINGS) this.#read(setting, sources);
  }

  /** A value that could not be read is missing, and among {@link problems}. */
  get settings(): Settings {
    return this.#values as Settings;
  }

  /** Where it was given; `undefined` where it was not. */
  placeOf(name: SettingName): string | undefined {
    return this.#places.get(name);
  }

  /** Where its value is from, given or not. */
  sourceOf(name: SettingName): string {
    return this.placeOf(name) ?? `the default ${settingNamed(name).key}`;
  }

  readonly complain: Complain = (name, problem) => {
    this.problems.push(`${this.sourceOf(name)} ${problem}`);
  };

  #read(setting: Setting, sources: SettingSources): void {
    const found = find(setting, sources);
    if (found === undefined) {
      if (setting.defaultValue !== undefined) this.#values[setting.name] = setting.defaultValue;
      return;
    }
    if ('problem' in found) {
      this.problems.push(found.problem);
      return;
    }
    this.#places.set(setting.name, found.place);
    const reading = readSettingValue(setting, found.value);
    if ('problem' in reading) this.complain(setting.name, reading.problem);
    else this.#values[setting.name] = reading.value;
  }
}

function find(
  setting: Setting,
  { flags, env, file }: SettingSources,
): Given | { readonly problem: string } | undefined {
  const flag = flags[setting.name];
  if (flag !== undefined) {
    if (setting.secret !== true) return { place: setting.flag, value: flag };
    const reading = readSecretFile(String(flag));
    if ('problem' in reading) return { problem: `${setting.flag} ${reading.problem}` };
    return { place: setting.flag, value: reading.value };
  }
  const variable = env[setting.environmentName];
  // An empty variable is how shells and compose files unset one.
  if (variable !== undefined && variable !== '') {
    const value = setting.kind === 'texts' ? variable.split(',') : variable;
    return { place: setting.environmentName, value };
  }
  if (file?.values.has(setting.name)) {
    return { place: `${setting.key} (in ${file.path})`, value: file.values.get(setting.name) };
  }
  return undefined;
}

/** A variable of another program may begin with DISCEDGE_ (orchestrators make some), so only near misses are refused. */
function misspelledEnvironmentNames(env: EnvironmentVariables): string[] {
  const known = [CONFIG_FILE_ENVIRONMENT_NAME, ...SETTINGS.map((setting) => setting.environmentName)].map(
    withoutPrefix,
  );
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !known.includes(withoutPrefix(name)))
    .flatMap((name) => {
      const meant = nearest(withoutPrefix(name), known);
      return meant === undefined ? [] : [`unknown environment variable ${name}: did you mean ${PREFIX}${meant}?`];
    });
}

const PREFIX = 'DISCEDGE_';
const withoutPrefix = (name: string) => name.slice(PREFIX.length);

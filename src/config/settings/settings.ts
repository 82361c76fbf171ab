import { type Static, type TSchema, Type } from 'typebox';
import { ACCESS_SETTINGS } from './access-settings.ts';
import { CONTEXT_SETTINGS } from './context-settings.ts';
import { ENCRYPTION_SETTINGS } from './encryption-settings.ts';
import { ENGINE_SETTINGS } from './engine-settings.ts';
import { LIMIT_SETTINGS } from './limit-settings.ts';
import { MODEL_SETTINGS } from './model-settings.ts';
import { NODE_SETTINGS } from './node-settings.ts';
import { REPLICATION_SETTINGS } from './replication-settings.ts';
import { REQUEST_SETTINGS } from './request-settings.ts';
import { choice, type SettingAnnotations, type SettingValue } from './setting-schema.ts';
import { STORE_SETTINGS } from './store-settings.ts';

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/**
 * All that there is to know of each setting: type, bounds, default, unit and reason. Flags, environment names, keys of the
 * configuration file, `--help` and docs/configuration.md are made from it, in its order.
 */
export const SETTINGS_SCHEMA = Type.Object({
  ...NODE_SETTINGS,
  ...MODEL_SETTINGS,
  ...ENGINE_SETTINGS,
  ...CONTEXT_SETTINGS,
  ...ACCESS_SETTINGS,
  ...REQUEST_SETTINGS,
  ...LIMIT_SETTINGS,
  ...STORE_SETTINGS,
  ...ENCRYPTION_SETTINGS,
  ...REPLICATION_SETTINGS,
  logLevel: choice(LOG_LEVELS, {
    group: 'Log',
    default: 'info',
    description: 'Least serious lines that are logged, as JSON on stderr.',
  }),
});

/** Settings as they are written, before machine-dependent defaults and cross-field rules. */
export type Settings = Static<typeof SETTINGS_SCHEMA>;
export type SettingName = keyof Settings;

/** One setting with the names under which it can be given. */
export interface Setting extends SettingAnnotations {
  readonly name: SettingName;
  /** Key in the configuration file: `max-wait-ms`. */
  readonly key: string;
  /** With its dashes: `--max-wait-ms`, or `--llm-api-key-file` for a secret. */
  readonly flag: string;
  /** `DISCEDGE_MAX_WAIT_MS`. */
  readonly environmentName: string;
  readonly defaultValue: SettingValue | undefined;
  readonly minimum: number | undefined;
  readonly maximum: number | undefined;
  readonly choices: readonly string[] | undefined;
  readonly schema: TSchema;
}

/** All settings, in the order in which they are documented. */
export const SETTINGS: readonly Setting[] = Object.entries<TSchema>(SETTINGS_SCHEMA.properties).map(([name, schema]) =>
  describe(name as SettingName, schema),
);

export function settingNamed(name: SettingName): Setting {
  return SETTINGS.find((setting) => setting.name === name) as Setting;
}

function describe(name: SettingName, schema: TSchema): Setting {
  const annotations = schema as SettingAnnotations & {
    default?: SettingValue;
    minimum?: number;
    maximum?: number;
    enum?: readonly string[];
  };
  const key = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return {
    ...annotations,
    name,
    key,
    flag: annotations.secret === true ? `--${key}-file` : `--${key}`,
    environmentName: `DISCEDGE_${key.toUpperCase().replaceAll('-', '_')}`,
    defaultValue: annotations.default,
    minimum: annotations.minimum,
    maximum: annotations.maximum,
    choices: annotations.enum,
    schema,
  };
}

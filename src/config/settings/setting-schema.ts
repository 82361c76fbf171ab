import { Type } from 'typebox';

/**
 * How a value is written and read. `size` takes bytes as "512MB" or "4GiB"; `path` becomes absolute; `list` is text with
 * commas, or a list in YAML; `texts` is one text or several: a flag given several times, a list in YAML, commas in a
 * variable.
 */
export type SettingKind = 'text' | 'texts' | 'path' | 'list' | 'choice' | 'integer' | 'size' | 'switch';
export type SettingValue = string | number | boolean | readonly string[];

/** Everything there is to know about one setting, beside its JSON schema's own bounds. */
export interface SettingAnnotations {
  readonly kind: SettingKind;
  readonly group: SettingGroup;
  /** What it decides, why its default, why its bounds. */
  readonly description: string;
  /** What stands for the value in help: `HOST:PORT`. */
  readonly placeholder?: string;
  /** Unit of a number, in words. */
  readonly unit?: string;
  /** In words, where the default depends on the machine or on other settings. */
  readonly defaultText?: string;
  /** Never printed, and not given on the command line: its flag names a file that holds it. */
  readonly secret?: boolean;
  /** Its key in an entry of `models`, where each model may have its own. */
  readonly modelKey?: string;
}

export const SETTING_GROUPS = [
  'Node',
  'LLM Service',
  'Contexts',
  'Access',
  'Requests',
  'Limits',
  'Context store',
  'Encryption',
  'Replication',
  'Log',
] as const;
export type SettingGroup = (typeof SETTING_GROUPS)[number];

type Annotated<Extra> = Omit<SettingAnnotations, 'kind'> & Extra;
type IntegerBounds = { readonly minimum: number; readonly maximum: number; readonly default?: number };

export const text = (options: Annotated<{ default?: string; pattern?: string }>) =>
  Type.String({ kind: 'text', ...options });
export const texts = (options: Annotated<{ default?: string[] }>) =>
  Type.Array(Type.String(), { kind: 'texts', ...options });
export const list = (options: Annotated<{ default?: string }>) => Type.String({ kind: 'list', ...options });
export const path = (options: Annotated<{ default?: string }>) =>
  Type.String({ kind: 'path', minLength: 1, ...options });
export const integer = (options: Annotated<IntegerBounds>) => Type.Integer({ kind: 'integer', ...options });
export const size = (options: Annotated<IntegerBounds>) => Type.Integer({ kind: 'size', unit: 'bytes', ...options });
export const onOff = (options: Annotated<{ default: boolean }>) => Type.Boolean({ kind: 'switch', ...options });
export const choice = <const Values extends readonly string[]>(
  values: Values,
  options: Annotated<{ default: Values[number] }>,
) => Type.Unsafe<Values[number]>({ type: 'string', enum: values, kind: 'choice', ...options });

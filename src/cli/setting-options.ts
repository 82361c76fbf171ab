import { type Command, Option } from 'commander';
import { formatSize } from '../config/settings/setting-values.ts';
import { SETTINGS, type Setting, type SettingName } from '../config/settings/settings.ts';

/** Adds a flag for each setting, or for those named; grouped, with default and unit in the help. */
export function addSettingOptions(command: Command, only?: readonly SettingName[]): Command {
  command.option('-c, --config <FILE>', 'YAML file with settings, one "name: value" a line (env: DISCEDGE_CONFIG)');
  for (const setting of SETTINGS) {
    if (only !== undefined && !only.includes(setting.name)) continue;
    const option = new Option(flagsOf(setting), helpOf(setting)).helpGroup(`${setting.group}:`);
    command.addOption(setting.kind === 'texts' ? option.argParser(oneMore) : option);
    if (setting.kind === 'switch') command.addOption(new Option(setting.flag.replace('--', '--no-')).hideHelp());
  }
  return command;
}

/** What `loadConfig` takes, from a command's parsed options. */
export function settingFlags(options: Readonly<Record<string, unknown>>): Partial<Record<SettingName, unknown>> {
  return Object.fromEntries(
    SETTINGS.map((setting) => [setting.name, options[new Option(flagsOf(setting)).attributeName()]]),
  );
}

/** A flag that may be given several times. */
function oneMore(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

/** The flag and what stands for its value. */
export function flagsOf(setting: Setting): string {
  if (setting.kind === 'switch') return setting.flag;
  return `${setting.flag} <${setting.secret === true ? 'FILE' : placeholderOf(setting)}>`;
}

function placeholderOf(setting: Setting): string {
  return setting.placeholder ?? setting.choices?.join('|') ?? setting.unit?.toUpperCase() ?? 'TEXT';
}

/** The first sentence says what; docs/configuration.md has the reasons. */
function helpOf(setting: Setting): string {
  const what = setting.description.split(/\.(?=\s|$)/, 1)[0]?.replaceAll('`', '"');
  return `${what} (default: ${defaultOf(setting)})`;
}

function defaultOf({ kind, defaultText, defaultValue, unit }: Setting): string {
  if (defaultText !== undefined) return defaultText.replaceAll('`', '');
  if (kind === 'size') return formatSize(defaultValue as number);
  if (kind === 'switch') return defaultValue === true ? 'on' : 'off';
  return unit === undefined ? String(defaultValue) : `${defaultValue} ${unit}`;
}

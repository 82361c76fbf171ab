import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import type { Preferences } from '../../client/client.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';

interface PreferencesOptions extends ConnectionOptions {
  readonly set?: string;
  readonly clear?: true;
}

/** Adds `users preferences`. */
export function definePreferences(command: Command): void {
  addConnectionOptions(
    command.command('preferences').description('Print, set or take away what a user wants every model to know.'),
  )
    .argument('<user>', 'its id')
    .addOption(new Option('--set <FILE>', 'as this file has them: text, or a JSON object of texts').conflicts('clear'))
    .addOption(new Option('--clear', 'take them away'))
    .action(preferences);
}

async function preferences(userId: string, options: PreferencesOptions): Promise<void> {
  const { users } = connect(options);
  if (options.clear) {
    const { version } = await users.setPreferences(userId, undefined);
    process.stdout.write(`the preferences are taken away (version ${version})\n`);
  } else if (options.set !== undefined) {
    const { version } = await users.setPreferences(userId, await preferencesIn(options.set));
    process.stdout.write(`the preferences are set (version ${version})\n`);
  } else {
    const { preferences: stored = null, version } = await users.preferences(userId);
    process.stdout.write(`${JSON.stringify({ preferences: stored, version })}\n`);
  }
}

async function preferencesIn(path: string): Promise<Preferences> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new DiscedgeError('config_invalid', `${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'string' || (typeof value === 'object' && value !== null)) return value as Preferences;
  } catch {
    // Plain text.
  }
  return text.trim();
}

import { randomBytes } from 'node:crypto';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ApiKey, LABEL_CHARS_MAX } from '../../access/api-key.ts';
import type { KeyFolder } from '../../access/key-folder.ts';
import { LIMIT_SETTING_OF, type LimitSettings, readLimits } from '../../config/settings/limit-settings.ts';
import { readSettingValue } from '../../config/settings/setting-values.ts';
import { settingNamed } from '../../config/settings/settings.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { ID_RULE, isId, type UserId } from '../../domain/identifiers.ts';
import { LIMIT_NAMES, LIMITS, type LimitName, type Limits, limitsText } from '../../domain/principals/limits.ts';
import { SCOPES, type Scope } from '../../domain/principals/principal.ts';
import { flagsOf } from '../setting-options.ts';
import { localTime, printable, table } from '../terminal.ts';

interface FolderOptions {
  readonly dataDir?: string;
  readonly keysDir?: string;
  readonly config?: string;
}

interface CreateOptions extends FolderOptions, LimitSettings {
  readonly scope: readonly Scope[];
  readonly user?: UserId;
  readonly label?: string;
  readonly days?: number;
}

const DAY_MS = 86_400_000;
/** A century; whoever means for ever leaves it out. */
const DAYS_MAX = 36_500;

export function define(command: Command): void {
  const creating = addFolderOptions(
    command.command('create').description('Make an API key and print it, once: only its hash is kept.'),
  )
    .addOption(
      new Option('--scope <SCOPE,...>', `what it is good for: ${SCOPES.join(', ')}`)
        .default(['user'], 'user')
        .argParser(scopes),
    )
    .option('--user <ID>', 'whose sessions it uses (default: a user of its own)', userId)
    .option('--label <TEXT>', 'for people: who has it', label)
    .option('--days <DAYS>', 'days for which it counts (default: until it is revoked)', days);
  for (const name of LIMIT_NAMES) creating.addOption(limitOption(name));
  creating.action(create);
  addFolderOptions(command.command('list').description('List the API keys of a node.')).action(list);
  addFolderOptions(command.command('revoke').description('Have API keys count no more, for good.'))
    .argument('<ids...>', 'their ids, as "keys list" has them')
    .action(revoke);
}

function addFolderOptions(command: Command): Command {
  return command
    .option('--data-dir <DIR>', "the node's data folder, as of its settings")
    .option('--keys-dir <DIR>', "the node's folder of keys, as of its settings")
    .option('-c, --config <FILE>', "the node's YAML file with settings");
}

async function create(options: CreateOptions): Promise<void> {
  const { newApiKey } = await import('../../access/api-key.ts');
  const folder = await openFolder(options);
  const { scope, user, label, days: forDays } = options;
  const nowMs = Date.now();
  const expiresAtMs = forDays === undefined ? undefined : nowMs + forDays * DAY_MS;
  const of = {
    scopes: scope,
    user,
    ...limitsOf(options),
    ...(label !== undefined && { label }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
  const { text, kept } = newApiKey(of, { random: { bytes: randomBytes }, nowMs });
  await folder.put(kept);
  process.stderr.write(`Key ${kept.id} of user ${printable(kept.user)}, in ${folder.path}. It is not shown again:\n`);
  process.stdout.write(`${text}\n`);
}

async function list(options: FolderOptions): Promise<void> {
  const { whyOver } = await import('../../access/api-key.ts');
  const folder = await openFolder(options);
  const nowMs = Date.now();
  const keys = [...folder.all()].sort((a, b) => a.createdAtMs - b.createdAtMs);
  if (keys.length === 0) {
    process.stdout.write(`no keys in ${folder.path}\n`);
    return;
  }
  const rows = keys.map((key: ApiKey) => [
    key.id,
    printable(key.user),
    key.scopes.join(', '),
    whyOver(key, nowMs) ?? 'good',
    localTime(new Date(key.createdAtMs)),
    key.expiresAtMs === undefined ? '-' : localTime(new Date(key.expiresAtMs)),
    key.limits === undefined ? '-' : limitsText(key.limits),
    printable(key.label ?? '-'),
  ]);
  process.stdout.write(`${table(['KEY', 'USER', 'SCOPES', 'IS', 'MADE', 'EXPIRES', 'LIMITS', 'LABEL'], rows)}\n`);
}

async function revoke(ids: readonly string[], options: FolderOptions): Promise<void> {
  const folder = await openFolder(options);
  const unknown = ids.filter((id) => folder.get(id) === undefined);
  if (unknown.length > 0)
    throw new DiscedgeError('config_invalid', `no key ${unknown.map(printable).join(', ')} in ${folder.path}`);
  for (const id of ids) {
    const key = folder.get(id) as ApiKey;
    const isNew = await folder.put({ ...key, revokedAtMs: Date.now() });
    process.stdout.write(isNew ? `${id} is revoked\n` : `${id} was revoked before\n`);
  }
}

/** Called, and read, as the node's setting of the same limit. */
function limitOption(name: LimitName): Option {
  const setting = settingNamed(LIMIT_SETTING_OF[name]);
  return new Option(flagsOf(setting), `${LIMITS[name].unit} at most (default: the node's limit)`).argParser((text) => {
    const reading = readSettingValue(setting, text);
    if ('problem' in reading) throw new InvalidArgumentError(`It ${reading.problem}.`);
    return reading.value;
  });
}

function limitsOf(options: CreateOptions): { readonly limits?: Limits } {
  const limits = readLimits(options);
  return Object.keys(limits).length === 0 ? {} : { limits };
}

/** Where the node that has these settings looks for its keys. */
async function openFolder({ dataDir, keysDir, config }: FolderOptions): Promise<KeyFolder> {
  const [{ loadConfig }, { KeyFolder }] = await Promise.all([
    import('../../config/config.ts'),
    import('../../access/key-folder.ts'),
  ]);
  const { access } = loadConfig({ flags: { dataDir, keysDir }, file: config });
  const folder = new KeyFolder(access.keysDir);
  for (const file of await folder.reload()) process.stderr.write(`${file} is no key\n`);
  return folder;
}

function scopes(text: string): readonly Scope[] {
  const named = text.split(',').map((scope) => scope.trim());
  const unknown = named.filter((scope) => !SCOPES.some((known) => known === scope));
  if (unknown.length > 0) throw new InvalidArgumentError(`There are ${SCOPES.join(', ')}.`);
  if (named.every((scope) => scope === 'read-only'))
    throw new InvalidArgumentError('read-only goes with another scope, such as user,read-only.');
  return [...new Set(named as Scope[])];
}

function userId(text: string): UserId {
  if (!isId(text)) throw new InvalidArgumentError(`It ${ID_RULE}.`);
  return text as UserId;
}

/** As long as it may be where it is read. */
function label(text: string): string {
  if (text.length > LABEL_CHARS_MAX) throw new InvalidArgumentError(`It has at most ${LABEL_CHARS_MAX} characters.`);
  return text;
}

function days(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > DAYS_MAX)
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${DAYS_MAX}.`);
  return value;
}

import { availableParallelism, homedir, hostname, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DiscedgeError } from '../domain/errors.ts';
import { type NodeId, parseNodeId } from '../domain/identifiers.ts';
import { nearest } from '../domain/nearest.ts';
import { type AccessConfig, readAccess } from './access-config.ts';
import type { ACCESS_SETTINGS } from './access-settings.ts';
import { readOrigins } from './allowed-origins.ts';
import { type ConfigFile, readConfigFile } from './config-file.ts';
import { checkConsistency } from './consistency-rules.ts';
import { type EncryptionConfig, readEncryption } from './encryption-config.ts';
import type { ENCRYPTION_SETTINGS } from './encryption-settings.ts';
import { ENGINE_KINDS, type EngineKinds } from './engine-kinds.ts';
import { type HttpsFiles, readHttps } from './https-config.ts';
import type { HTTPS_SETTINGS } from './https-settings.ts';
import type { LIMIT_SETTINGS } from './limit-settings.ts';
import { type ListenAddress, parseListenAddress } from './listen-address.ts';
import { IN_ENTRIES_ONLY, type ModelConfig, namedModels } from './model-config.ts';
import { listedModels, MODELS_KEY } from './model-entries.ts';
import type { MODEL_SETTINGS } from './model-settings.ts';
import type { Complain, ReplicationConfig } from './replication-config.ts';
import type { REPLICATION_SETTINGS } from './replication-settings.ts';
import { readSecretFile } from './secret-file.ts';
import type { SettingValue } from './setting-schema.ts';
import { readSettingValue } from './setting-values.ts';
import { SETTINGS, type Setting, type SettingName, type Settings } from './settings.ts';
import { readStoreKind, STORE_KINDS, type StoreKind, type StoreKinds, storesThat } from './store-kinds.ts';

/** What an edge node is started with: every setting has its final value, and the rules between them hold. */
export interface EdgeNodeConfig extends Omit<Required<Settings>, ReadFurther> {
  readonly listen: ListenAddress;
  readonly nodeId: NodeId;
  readonly store: StoreKind;
  /** The models that the node serves, at least one; the first is the default. */
  readonly models: readonly ModelConfig[];
  /** Only with a store that shares. */
  readonly replication: ReplicationConfig | undefined;
  readonly access: AccessConfig;
  /** `undefined`: the API is plain HTTP. */
  readonly https: HttpsFiles | undefined;
  /** `undefined`: files are in the clear. */
  readonly encryption: EncryptionConfig | undefined;
  /** Where clients are told to find the HTTP API; `undefined`: where it listens. */
  readonly advertisedUrl: string | undefined;
  /** `undefined`: beside the certificate, or the node's own. */
  readonly clusterKeyFile: string | undefined;
  /** Path of what this node tells of its region; `undefined`: nothing. */
  readonly regionalData: string | undefined;
  /** Of a llama-server that makes vectors of turns that are searched; `undefined`: they are searched by words. */
  readonly embeddingsUrl: string | undefined;
  /** Whose pages may call the API from a browser, `*` for any. */
  readonly corsOrigins: readonly string[];
  /** `undefined`: by what is free in {@link kvDir}. */
  readonly kvBudgetBytes: number | undefined;
  /** This node's own; `undefined`: nothing is kept. */
  readonly kvDir: string | undefined;
  /** `undefined`: a session that is used lives on. */
  readonly sessionAgeSecondsMax: number | undefined;
  /** For each model; `undefined`: what its idle engine evaluates. */
  readonly warmingIdsPerSecond: number | undefined;
  /** The same; `undefined`: what its engine has room for. */
  readonly warmingKvBytes: number | undefined;
}
type ReadFurther =
  | (
      | 'listen'
      | 'nodeId'
      | 'store'
      | 'advertise'
      | 'mode'
      | 'clusterKeyFile'
      | 'corsOrigins'
      | 'regionalData'
      | 'embeddingsUrl'
      | 'kvBudgetBytes'
      | 'kvDir'
      | 'sessionAgeSecondsMax'
      | 'warmingIdsPerSecond'
      | 'warmingKvBytes'
    )
  | keyof typeof ACCESS_SETTINGS
  | keyof typeof HTTPS_SETTINGS
  | keyof typeof LIMIT_SETTINGS
  | keyof typeof ENCRYPTION_SETTINGS
  | keyof typeof MODEL_SETTINGS
  | keyof typeof REPLICATION_SETTINGS;

export interface ConfigSources {
  /** By the setting's camelCase name. For a secret: the path of the file that holds it. */
  readonly flags?: Readonly<Partial<Record<SettingName, unknown>>>;
  /** The process's own when left out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a YAML file; the one `DISCEDGE_CONFIG` names when left out. */
  readonly file?: string | undefined;
  /** The kinds of context store there are; those of this package when left out. */
  readonly stores?: StoreKinds;
  /** The kinds of engine there are; those of this package when left out. */
  readonly engines?: EngineKinds;
}

/** Environment variable that names the configuration file. */
export const CONFIG_FILE_ENVIRONMENT_NAME = 'DISCEDGE_CONFIG';

/** Where a value came from, in the words its giver used. */
interface Given {
  readonly place: string;
  readonly value: unknown;
}
type Values = Partial<Record<SettingName, SettingValue>>;

/**
 * Settings from flags, environment, file and defaults, the first that has one winning. Throws `config_invalid` with
 * every problem found, one a line, each naming where the value came from and none repeating a secret.
 */
export function loadConfig(sources: ConfigSources = {}): EdgeNodeConfig {
  const { flags = {}, env = process.env, stores = STORE_KINDS, engines = ENGINE_KINDS } = sources;
  const problems: string[] = misspelledEnvironmentNames(env);
  const filePath = sources.file ?? (env[CONFIG_FILE_ENVIRONMENT_NAME] || undefined);
  const file = filePath === undefined ? undefined : readConfigFile(filePath);
  problems.push(...(file?.problems ?? []));

  const given = new Map<SettingName, Given>();
  const values: Values = {};
  for (const setting of SETTINGS) {
    const found = find(setting, { flags, env, file: file?.values, filePath }, problems);
    if (found === undefined) {
      if (setting.defaultValue !== undefined) values[setting.name] = setting.defaultValue;
      continue;
    }
    given.set(setting.name, found);
    const reading = readSettingValue(setting, found.value);
    if ('problem' in reading) problems.push(`${found.place} ${reading.problem}`);
    else values[setting.name] = reading.value;
  }
  const nodeId = readNodeId(values, given, problems);
  const listen = readListen(values, given, problems);
  const complain = (name: SettingName, problem: string) =>
    problems.push(`${given.get(name)?.place ?? `the default ${keyOf(name)}`} ${problem}`);
  const models = readModels(values as Settings, { engines, given, file, filePath, problems, complain });
  const store = readStoreKind(String(values.store), stores, complain);
  const replication = store.settings?.(values as Settings, nodeId, complain);
  if (!store.shares && given.has('peers')) {
    complain(
      'peers',
      `needs store ${storesThat(({ takesPeers }) => takesPeers === true, stores)}: ${store.name} shares its sessions with no other node`,
    );
  }
  checkConsistency(values as Settings, store, complain);
  const access = readAccess(values as Settings, complain);
  const https = readHttps(values as Settings, complain);
  const encryption = readEncryption(values as Settings, complain);
  const advertisedUrl = readHttpUrl('advertise', values, complain);
  const embeddingsUrl = readHttpUrl('embeddingsUrl', values, complain);
  const allowed = readOrigins(values.corsOrigins as string | undefined);
  if ('problem' in allowed) complain('corsOrigins', allowed.problem);
  problems.push(...brokenRules(values, given));
  if (problems.length > 0 || nodeId === undefined || listen === undefined) {
    throw new DiscedgeError('config_invalid', problems.join('\n'));
  }
  const settings = values as Settings;
  return {
    ...settings,
    listen,
    nodeId,
    store,
    models,
    replication,
    access,
    https,
    encryption,
    advertisedUrl,
    clusterKeyFile: settings.clusterKeyFile,
    regionalData: settings.regionalData,
    embeddingsUrl,
    corsOrigins: 'origins' in allowed ? allowed.origins : [],
    dataDir: resolve(settings.dataDir),
    kvBudgetBytes: settings.kvBudgetBytes,
    sessionAgeSecondsMax: settings.sessionAgeSecondsMax,
    warmingIdsPerSecond: settings.warmingIdsPerSecond,
    warmingKvBytes: settings.warmingKvBytes,
    kvDir: kvDirOf(settings, { nodeId, store }),
    modelCacheDir: resolve(settings.modelCacheDir ?? join(userCacheDir(env) ?? settings.dataDir, 'discedge', 'models')),
    threads: settings.threads ?? Math.max(1, availableParallelism() - 1),
  };
}

/** A data folder is one node's; any other may be given to several. */
function kvDirOf(
  { kvDir, dataDir }: Settings,
  { nodeId, store }: { readonly nodeId: NodeId; readonly store: StoreKind },
): string | undefined {
  if (kvDir !== undefined) return resolve(kvDir, nodeId);
  return store.keepsFiles ? resolve(dataDir, 'kv') : undefined;
}

interface Places {
  readonly flags: Readonly<Partial<Record<SettingName, unknown>>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: ReadonlyMap<SettingName, unknown> | undefined;
  readonly filePath: string | undefined;
}

function find(setting: Setting, places: Places, problems: string[]): Given | undefined {
  const flag = places.flags[setting.name];
  if (flag !== undefined) {
    if (setting.secret !== true) return { place: setting.flag, value: flag };
    const reading = readSecretFile(String(flag));
    if (!('problem' in reading)) return { place: setting.flag, value: reading.value };
    problems.push(`${setting.flag} ${reading.problem}`);
    return undefined;
  }
  const variable = places.env[setting.environmentName];
  // An empty variable is how shells and compose files unset one.
  if (variable !== undefined && variable !== '') {
    const value = setting.kind === 'texts' ? variable.split(',') : variable;
    return { place: setting.environmentName, value };
  }
  if (places.file?.has(setting.name)) {
    return { place: `${setting.key} (in ${places.filePath})`, value: places.file.get(setting.name) };
  }
  return undefined;
}

/** A variable of another program may begin with DISCEDGE_ (orchestrators make some), so only near misses are refused. */
function misspelledEnvironmentNames(env: Readonly<Record<string, string | undefined>>): string[] {
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

function readNodeId(values: Values, given: ReadonlyMap<SettingName, Given>, problems: string[]): NodeId | undefined {
  try {
    return parseNodeId(values.nodeId ?? nodeIdFromHostName(hostname()));
  } catch (error) {
    problems.push(`${given.get('nodeId')?.place ?? 'nodeId'}: ${(error as Error).message}`);
    return undefined;
  }
}

/** Longest node id that `parseNodeId` takes. */
const NODE_ID_CHARS_MAX = 32;

export function nodeIdFromHostName(name: string): string {
  const id = name
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, NODE_ID_CHARS_MAX)
    .replace(/[-_]+$/, '');
  return id === '' ? 'node' : id;
}

function readListen(
  values: Values,
  given: ReadonlyMap<SettingName, Given>,
  problems: string[],
): ListenAddress | undefined {
  const listen = parseListenAddress(String(values.listen));
  if (listen === undefined && values.listen !== undefined) {
    problems.push(
      `${given.get('listen')?.place} must be HOST:PORT, such as 127.0.0.1:8081 or [::1]:8081, not "${values.listen}"`,
    );
  }
  return listen;
}

function readHttpUrl(name: SettingName, { [name]: given }: Values, complain: Complain): string | undefined {
  if (given === undefined) return undefined;
  const url = URL.canParse(String(given)) ? new URL(String(given)) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '') {
    complain(name, 'must be http://HOST:PORT or https://HOST:PORT, without a password');
  }
  return url?.href.replace(/\/+$/, '');
}

/** From the configuration file's `models`, or else from the settings that name models. */
function readModels(
  settings: Settings,
  {
    engines,
    given,
    file,
    filePath = '',
    problems,
    complain,
  }: {
    engines: EngineKinds;
    given: ReadonlyMap<SettingName, Given>;
    file: ConfigFile | undefined;
    filePath: string | undefined;
    problems: string[];
    complain: Complain;
  },
): ModelConfig[] {
  if (file?.models === undefined) {
    return namedModels(settings, { engines, placeOf: (name) => given.get(name)?.place, complain });
  }
  for (const name of IN_ENTRIES_ONLY) {
    if (given.has(name))
      complain(name, `excludes ${MODELS_KEY} (in ${filePath}), whose entries say what each model is`);
  }
  return listedModels(file.models, { settings, engines, filePath, complain: (problem) => problems.push(problem) });
}

/** Pairs of settings of which the first must not exceed the second, where both are given. */
export const AT_MOST: readonly (readonly [SettingName, SettingName])[] = [
  ['maxWaitMs', 'maxWaitMsLimit'],
  ['replicatedWaitMs', 'maxWaitMsLimit'],
  ['ttlSeconds', 'ttlSecondsMax'],
  ['replyTokensDefault', 'replyTokensMax'],
  ['prefillChunkTokens', 'contextTokens'],
];

function brokenRules(values: Values, given: ReadonlyMap<SettingName, Given>): string[] {
  const broken: string[] = [];
  for (const [low, high] of AT_MOST) {
    const [lowValue, highValue] = [values[low], values[high]] as [number | undefined, number | undefined];
    if (lowValue === undefined || highValue === undefined || lowValue <= highValue) continue;
    const [lowPlace, highPlace] = [low, high].map((name) => given.get(name)?.place ?? `the default ${keyOf(name)}`);
    broken.push(`${lowPlace} (${lowValue}) must not exceed ${highPlace} (${highValue})`);
  }
  return broken;
}

function keyOf(name: SettingName): string {
  return SETTINGS.find((setting) => setting.name === name)?.key ?? name;
}

/** Whether npm started this process, and so with a shell in between that passes no signal on. */
export function startedByNpm(): boolean {
  return process.env.npm_lifecycle_event !== undefined;
}

/** This process's environment without its key, and with what is meant for a child process alone. */
export function environmentWith(added: Readonly<Record<string, string>>): Readonly<Record<string, string | undefined>> {
  const { DISCEDGE_ENCRYPTION_KEY: _, ...inherited } = process.env;
  return { ...inherited, ...added };
}

/** `undefined` for a user without a home, as in a container that runs under a number that no account has. */
function userCacheDir(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const home = homeDir();
  if (process.platform === 'win32' && env.LOCALAPPDATA) return env.LOCALAPPDATA;
  if (process.platform !== 'win32' && process.platform !== 'darwin' && env.XDG_CACHE_HOME) return env.XDG_CACHE_HOME;
  return home === undefined ? undefined : join(home, ...(CACHE_IN_HOME[process.platform] ?? ['.cache']));
}

/** Where there is none, the process gets one for as long as it lasts: node-llama-cpp asks for it while it loads. */
function homeDir(): string | undefined {
  try {
    return homedir();
  } catch {
    process.env.HOME = tmpdir();
    return undefined;
  }
}

const CACHE_IN_HOME: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  win32: ['AppData', 'Local'],
  darwin: ['Library', 'Caches'],
};

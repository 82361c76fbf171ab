import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { DiscedgeError } from '../domain/errors.ts';
import type { NodeId } from '../domain/identifiers.ts';
import { type AccessConfig, readAccess } from './access-config.ts';
import { readOrigins } from './allowed-origins.ts';
import { type ConfigFile, readConfigFile } from './config-file.ts';
import { checkConsistency } from './consistency-rules.ts';
import { type EncryptionConfig, readEncryption } from './encryption-config.ts';
import { ENGINE_KINDS, type EngineKinds } from './engine-kinds.ts';
import { CONFIG_FILE_ENVIRONMENT_NAME, GivenSettings, type SettingFlags } from './given-settings.ts';
import { type HttpsFiles, readHttps } from './https-config.ts';
import { type ListenAddress, parseListenAddress } from './listen-address.ts';
import { IN_ENTRIES_ONLY, type ModelConfig, namedModels } from './model-config.ts';
import { listedModels, MODELS_KEY } from './model-entries.ts';
import { readNodeId } from './node-id.ts';
import { type EnvironmentVariables, PROCESS_ENVIRONMENT, userCacheDir } from './process-environment.ts';
import type { ReplicationConfig } from './replication-config.ts';
import type { ACCESS_SETTINGS } from './settings/access-settings.ts';
import type { ENCRYPTION_SETTINGS } from './settings/encryption-settings.ts';
import type { HTTPS_SETTINGS } from './settings/https-settings.ts';
import type { LIMIT_SETTINGS } from './settings/limit-settings.ts';
import type { MODEL_SETTINGS } from './settings/model-settings.ts';
import type { REPLICATION_SETTINGS } from './settings/replication-settings.ts';
import type { SettingName, Settings } from './settings/settings.ts';
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
  readonly flags?: SettingFlags;
  /** The process's own when left out. */
  readonly env?: EnvironmentVariables;
  /** Path of a YAML file; the one `DISCEDGE_CONFIG` names when left out. */
  readonly file?: string | undefined;
  /** The kinds of context store there are; those of this package when left out. */
  readonly stores?: StoreKinds;
  /** The kinds of engine there are; those of this package when left out. */
  readonly engines?: EngineKinds;
}

/**
 * Settings from flags, environment, file and defaults, the first that has one winning. Throws `config_invalid` with
 * every problem found, one a line, each naming where the value came from and none repeating a secret.
 */
export function loadConfig(sources: ConfigSources = {}): EdgeNodeConfig {
  const { flags = {}, env = PROCESS_ENVIRONMENT, stores = STORE_KINDS, engines = ENGINE_KINDS } = sources;
  const filePath = sources.file ?? (env[CONFIG_FILE_ENVIRONMENT_NAME] || undefined);
  const file = filePath === undefined ? undefined : readConfigFile(filePath);
  const given = new GivenSettings({ flags, env, file });
  const { settings, problems, complain } = given;

  const nodeId = readNodeId(given);
  const listen = readListen(given);
  const models = readModels(given, { file, engines });
  const store = readStoreKind(String(settings.store), stores, complain);
  const replication = store.settings?.(settings, nodeId, complain);
  if (!store.shares && given.placeOf('peers') !== undefined) {
    complain(
      'peers',
      `needs store ${storesThat(({ takesPeers }) => takesPeers === true, stores)}: ${store.name} shares its sessions with no other node`,
    );
  }
  checkConsistency(settings, store, complain);
  const access = readAccess(settings, complain);
  const https = readHttps(settings, complain);
  const encryption = readEncryption(settings, complain);
  const advertisedUrl = readHttpUrl('advertise', given);
  const embeddingsUrl = readHttpUrl('embeddingsUrl', given);
  const allowed = readOrigins(settings.corsOrigins);
  if ('problem' in allowed) complain('corsOrigins', allowed.problem);
  checkOrder(given);
  if (problems.length > 0 || nodeId === undefined || listen === undefined) {
    throw new DiscedgeError('config_invalid', problems.join('\n'));
  }
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

function readListen({ settings, complain }: GivenSettings): ListenAddress | undefined {
  const { listen: text }: Partial<Settings> = settings;
  if (text === undefined) return undefined;
  const listen = parseListenAddress(text);
  if (listen === undefined)
    complain('listen', `must be HOST:PORT, such as 127.0.0.1:8081 or [::1]:8081, not "${text}"`);
  return listen;
}

function readHttpUrl(
  name: 'advertise' | 'embeddingsUrl',
  { settings: { [name]: given }, complain }: GivenSettings,
): string | undefined {
  if (given === undefined) return undefined;
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '') {
    complain(name, 'must be http://HOST:PORT or https://HOST:PORT, without a password');
  }
  return url?.href.replace(/\/+$/, '');
}

/** From the configuration file's `models`, or else from the settings that name models. */
function readModels(
  given: GivenSettings,
  { file, engines }: { readonly file: ConfigFile | undefined; readonly engines: EngineKinds },
): ModelConfig[] {
  const { settings, problems, complain } = given;
  if (file?.models === undefined) {
    return namedModels(settings, { engines, placeOf: (name) => given.placeOf(name), complain });
  }
  const { path, models } = file;
  for (const name of IN_ENTRIES_ONLY) {
    if (given.placeOf(name) !== undefined)
      complain(name, `excludes ${MODELS_KEY} (in ${path}), whose entries say what each model is`);
  }
  return listedModels(models, { settings, engines, filePath: path, complain: (problem) => problems.push(problem) });
}

/** Pairs of settings of which the first must not exceed the second, where both are given. */
export const AT_MOST = [
  ['maxWaitMs', 'maxWaitMsLimit'],
  ['replicatedWaitMs', 'maxWaitMsLimit'],
  ['ttlSeconds', 'ttlSecondsMax'],
  ['replyTokensDefault', 'replyTokensMax'],
  ['prefillChunkTokens', 'contextTokens'],
] as const satisfies readonly (readonly [SettingName, SettingName])[];

function checkOrder(given: GivenSettings): void {
  const values: Partial<Settings> = given.settings;
  for (const [low, high] of AT_MOST) {
    const [lowValue, highValue] = [values[low], values[high]];
    if (lowValue === undefined || highValue === undefined || lowValue <= highValue) continue;
    given.complain(low, `(${lowValue}) must not exceed ${given.sourceOf(high)} (${highValue})`);
  }
}

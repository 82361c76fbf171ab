import { type Static, type TSchema, Type } from 'typebox';
import { OVERFLOW_POLICIES } from '../domain/context-window.ts';
import { ACCESS_SETTINGS } from './access-settings.ts';
import { CONSISTENCY_SETTINGS } from './consistency-settings.ts';
import { ENCRYPTION_SETTINGS } from './encryption-settings.ts';
import { HTTPS_SETTINGS } from './https-settings.ts';
import { LIMIT_SETTINGS } from './limit-settings.ts';
import { MODE_SETTING, MODEL_SETTINGS } from './model-settings.ts';
import { REPLICATION_SETTINGS } from './replication-settings.ts';
import {
  choice,
  integer,
  list,
  onOff,
  path,
  type SettingAnnotations,
  type SettingValue,
  size,
  text,
} from './setting-schema.ts';
import { WARMING_SETTINGS } from './warming-settings.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const DAY_SECONDS = 86_400;
const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/**
 * The one place where a setting is described: type, bounds, default, unit and reason. Flags, environment names, keys of
 * the configuration file, `--help` and docs/configuration.md are all made from it.
 */
export const SETTINGS_SCHEMA = Type.Object({
  listen: text({
    group: 'Node',
    placeholder: 'HOST:PORT',
    default: '127.0.0.1:8081',
    description:
      'Address of the HTTP API. The default is reachable from this machine only; another needs API keys, `jwt-issuer` or `serve-anyone`. IPv6 in brackets, `[::1]:8081`; port 0 takes any free port.',
  }),
  ...HTTPS_SETTINGS,
  nodeId: Type.Optional(
    text({
      group: 'Node',
      placeholder: 'ID',
      defaultText: 'the host name',
      description:
        "This node's name in records, replies and logs; no two nodes may share one. 1 to 32 letters, digits, `-` or `_`, starting with a letter or digit: it also becomes part of stream and key names. A data folder belongs to one node id, so set it where the host name changes, as in containers.",
    }),
  ),
  dataDir: path({
    group: 'Node',
    placeholder: 'DIR',
    default: '.discedge',
    description: "Folder of this node's replica of the context store; made when missing. One node at a time.",
  }),
  clusterKeyFile: Type.Optional(
    path({
      group: 'Node',
      placeholder: 'FILE',
      defaultText: "`cluster.key` beside the node's certificate, else one that the node makes in its data folder",
      description:
        "File with the cluster's key, 64 hex digits: response and conversation ids of OpenAI's API are sealed with it. Nodes that share contexts need the same one, or an id made at one is unknown at the others. Keep it secret: whoever has it can make ids of anybody's sessions.",
    }),
  ),

  ...MODEL_SETTINGS,
  threads: Type.Optional(
    integer({
      group: 'LLM Service',
      minimum: 1,
      maximum: 256,
      unit: 'threads',
      defaultText: 'cores − 1, at least 1',
      description:
        'Compute threads of the embedded LLM Service. One core is left to the node itself: compute threads that fight it for the last core slow every token. At most 256, because llama.cpp gains nothing beyond the cores of one machine.',
    }),
  ),
  prefillChunkTokens: integer({
    group: 'LLM Service',
    minimum: 16,
    maximum: 4096,
    default: 256,
    unit: 'tokens',
    description:
      'Tokens that the embedded LLM Service evaluates in one piece. A turn can be cancelled, and others get their share, only between pieces: above 4,096 a node seems to hang, below 16 the pieces cost more than they contain.',
  }),
  gpu: onOff({
    group: 'LLM Service',
    default: false,
    description:
      'Let the embedded LLM Service use a GPU. Off by default, so that a node starts alike on every machine.',
  }),
  kvBudgetBytes: Type.Optional(
    size({
      group: 'LLM Service',
      minimum: 0,
      maximum: 1024 * GIB,
      defaultText: 'an eighth of what is free in `kv-dir` (on a memory disk: of free memory), at most 4 GiB',
      description:
        'Room for KV state of sessions that have lost their sequence in the embedded LLM Service: files, read when a session comes back, where that is faster than evaluating its context again. Several models get equal parts. 0 keeps none; more than 1 TiB is no cache.',
    }),
  ),
  kvDir: Type.Optional(
    path({
      group: 'LLM Service',
      placeholder: 'DIR',
      defaultText: '`kv` in `data-dir`; with a store that keeps no files none, and nothing is kept',
      description:
        'Where that state is kept; each node has a folder of its own in it. It may be a memory disk, such as `/dev/shm`. The files hold what sessions say, in no readable form, and are removed with their sessions. With encryption on they are encrypted, by way of a memory disk (`/dev/shm`); where there is none, nothing is kept.',
    }),
  ),
  shareKv: onOff({
    group: 'LLM Service',
    default: false,
    description:
      "Let a turn go on from the KV state of another user's session, in the embedded LLM Service or a vLLM, where their ids are equal, as with one long system message for all. Off by default: how fast a reply comes would tell what others have said.",
  }),
  ...WARMING_SETTINGS,
  modelCacheDir: Type.Optional(
    path({
      group: 'LLM Service',
      placeholder: 'DIR',
      defaultText: "`discedge/models` in the user's cache folder",
      description: 'Where downloaded models are kept.',
    }),
  ),
  llmStartWaitMs: integer({
    group: 'LLM Service',
    minimum: 0,
    maximum: 3_600_000,
    default: 0,
    unit: 'milliseconds',
    description:
      'How long the start of the node waits for a server that is not there yet or still loads its model, as when both start with the machine; the log says so (`llm.start_waits`). 0: the start fails at once. Until it is over the node does not listen: which sessions are whose model needs the server. At most an hour.',
  }),
  llmConnectTimeoutMs: integer({
    group: 'LLM Service',
    minimum: 100,
    maximum: 60_000,
    default: 5_000,
    unit: 'milliseconds',
    description:
      'How long a connection to the server may take. From 100, below which a busy network looks like an outage, to 60,000, after which clients have gone.',
  }),
  llmIdleTimeoutMs: integer({
    group: 'LLM Service',
    minimum: 1_000,
    maximum: 3_600_000,
    default: 120_000,
    unit: 'milliseconds',
    description:
      'How long the LLM Service, embedded or not, may produce nothing in the middle of a turn; the turn then ends with `llm_timeout`. Must exceed the evaluation of a full context on this machine, which takes 17 s for 4,096 tokens on two slow cores; from 1,000 to 3,600,000 (an hour), beyond which a turn would never be given up.',
  }),

  mode: MODE_SETTING,
  regionalData: Type.Optional(
    path({
      group: 'Contexts',
      placeholder: 'PATH',
      defaultText: 'none',
      description:
        'File, or folder of `*.md` and `*.txt` files, taken by name, with what this node tells its models of its region before every conversation that it keeps (docs/context-layers.md). Read again within a second of a change; at most 64 files and 64 KiB. It is in no record and goes to no other node.',
    }),
  ),
  ...CONSISTENCY_SETTINGS,
  overflow: choice(OVERFLOW_POLICIES, {
    group: 'Contexts',
    default: 'error',
    description:
      'What happens to a context longer than the window, where the request does not say: `error` refuses the turn, `drop-oldest` leaves out whole turns and says so, `summarize` has the model sum them up and says so, `retrieve` leaves them out, brings back those that the new message is about, and says which.',
  }),
  embeddingsUrl: Type.Optional(
    text({
      group: 'Contexts',
      placeholder: 'URL',
      defaultText: 'none: search is by words',
      description:
        'Under `retrieve`, turns are found by what they are about as well, with the vectors of this llama-server: one started with `--embeddings`, preferably with an embedding model, and not the one of `llm`, where an embedding takes a slot and what it held of a session. It is sent what the user says and the beginnings of turns that are left out, over `http` in the clear, so it belongs on this machine or one that is trusted as much; no key is sent. Where it fails or takes longer than a second, turns are found by words.',
    }),
  ),
  keepConversations: onOff({
    group: 'Contexts',
    default: true,
    description:
      "Keep conversations whose clients send them whole, as OpenAI's chat completions do, where the request's `store` does not say: the next turn then goes on from exact ids, at every node. Off: nothing of them is written.",
  }),
  ttlSeconds: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 315_360_000,
    default: DAY_SECONDS,
    unit: 'seconds',
    description:
      'How long a session lives after its latest turn, where the request does not say: as long as it may be idle. Nodes that share their sessions let them live ten minutes longer, as clocks differ. At least 1; at most `ttl-seconds-max`.',
  }),
  ttlSecondsMax: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 315_360_000,
    default: 30 * DAY_SECONDS,
    unit: 'seconds',
    description:
      'The longest life a request may ask for, so that a client cannot keep disk space for ever. At most 315,360,000 (ten years), since every node remembers a deletion as long.',
  }),
  sessionAgeSecondsMax: Type.Optional(
    integer({
      group: 'Contexts',
      minimum: 1,
      maximum: 315_360_000,
      unit: 'seconds',
      defaultText: 'none: one that is used lives on',
      description:
        'How long a session lives after it was opened, however often it is used. The same at all nodes that share sessions, or those without it let them live. A fork is a session of its own.',
    }),
  ),
  replyTokensDefault: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 1_048_576,
    default: 512,
    unit: 'tokens',
    description: 'Longest reply of a request without `n_predict`. At least 1; at most `reply-tokens-max`.',
  }),
  replyTokensMax: integer({
    group: 'Contexts',
    minimum: 1,
    maximum: 1_048_576,
    default: 8_192,
    unit: 'tokens',
    description:
      'Longest reply that a request can get, whatever its `n_predict`: bounds how long one turn can occupy the LLM Service. At most 1,048,576, the longest context window there is.',
  }),
  contextCacheBytes: size({
    group: 'Contexts',
    minimum: 0,
    maximum: 64 * GIB,
    default: 256 * MIB,
    description:
      'Memory for contexts in use, kept so that a turn does not read its whole session again. 0 keeps none; more than 64 GiB exceeds what the replica can hold hot.',
  }),

  ...ACCESS_SETTINGS,

  corsOrigins: Type.Optional(
    list({
      group: 'Requests',
      placeholder: 'ORIGIN,…',
      defaultText: 'none',
      description:
        "Origins whose pages may call the API from a browser, such as `https://app.example`; `*` for any. None by default: a page that somebody happens to open must not speak to a node on that person's machine or network.",
    }),
  ),
  bodyBytesMax: size({
    group: 'Requests',
    minimum: KIB,
    maximum: 64 * MIB,
    default: MIB,
    description:
      'Largest request body. It is held in memory as a whole, hence at most 64 MiB; at least 1 KiB, room for a short message.',
  }),
  connectionsMax: integer({
    group: 'Requests',
    minimum: 16,
    maximum: 65_536,
    default: 2_048,
    unit: 'connections',
    description:
      'Connections of clients at once; further ones are closed as they come. Each takes a file descriptor, and as much memory as what its client leaves unread. From 16, as one browser opens six, to 65,536, as many as one address can open to another.',
  }),
  turnsInFlightMax: integer({
    group: 'Requests',
    minimum: 1,
    maximum: 65_536,
    default: 256,
    unit: 'turns',
    description:
      'Turns accepted at once on this node; more are refused with `overloaded`. At most 65,536, since each holds a connection and its context in memory.',
  }),
  sessionQueueMax: integer({
    group: 'Requests',
    minimum: 1,
    maximum: 65_536,
    default: 64,
    unit: 'requests',
    description:
      'Requests that may wait for one session; more are refused with `session_busy`. A client has one turn under way, so even its retries stay far below; at most 65,536, the most turns there can be.',
  }),
  finishAbandonedMs: integer({
    group: 'Requests',
    minimum: 0,
    maximum: 3_600_000,
    default: 60_000,
    unit: 'milliseconds',
    description:
      'How long a turn goes on after its client has left, so that a retry finds it done. 0 stops at once; at most 3,600,000 (an hour) of work that nobody may ever read.',
  }),

  ...LIMIT_SETTINGS,

  store: text({
    group: 'Context store',
    placeholder: 'leveldb|memory|nats|nats://HOST:PORT',
    default: 'leveldb',
    description:
      "Kind of context store: `leveldb` is durable (`lmdb`, its name in earlier versions, means it, too), `memory` is gone when the node stops, `nats` is durable and shared with the peers through a nats-server of this node's own, which it starts from the PATH and looks after; `nats://HOST:PORT` uses one that runs.",
  }),
  storeBytesMax: size({
    group: 'Context store',
    minimum: 16 * MIB,
    maximum: 1024 * GIB,
    default: 4 * GIB,
    description:
      'Size above which the sessions unused for longest are removed, of users who have more than an equal part. From 16 MiB, below which bookkeeping outweighs the sessions, to 1 TiB, as address space is reserved for all of it.',
  }),
  clockToleranceMs: integer({
    group: 'Context store',
    minimum: 1_000,
    maximum: 300_000,
    default: 60_000,
    unit: 'milliseconds',
    description:
      "How far this machine's clock may jump, or be from the clocks of other nodes, before it is doubted: nothing expires then. From 1,000, which NTP corrects by now and then, to 300,000, half of the ten minutes that shared sessions live longer because clocks differ.",
  }),
  expireEveryMs: integer({
    group: 'Context store',
    minimum: 1_000,
    maximum: 86_400_000,
    default: 60_000,
    unit: 'milliseconds',
    description:
      'How often expired sessions are removed. From 1,000, so that looking does not become the main work, to 86,400,000 (a day), so that expired data does not stay.',
  }),

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

/**
 * The file of one run of `discedge experiment`: NDJSON, one row a line, in the order in which things happened.
 *
 *   experiment_start        first; what ran, where, with which model, in which parts
 *   turn                    one turn as its client saw it (run-row.ts), with `labels`; in `load` many of them at once
 *   sync                    what went between two nodes for one turn, or for a whole session (`turn: null`)
 *   load                    one level of parallel users, summed up; its turns are rows of their own
 *   check                   whether the modes have read and written equally many ids in a repeat
 *   note                    something that a reader of the numbers has to know
 *   experiment_end          last; without it, or with `complete: false`, the run is incomplete
 *
 * A *play* is one conversation (or one level of users) in nodes started afresh for it, after a warm-up that leaves no rows.
 * All rows of a play have equal `labels`. What is compared with each other differs in `variant` alone: equal `part`,
 * `setting`, `llm_service` and `repeat`. Plays are in an order drawn from the seed, `order` is the place in it.
 */
import type { ROW_FORMAT, TurnRow } from '../../scenario/run-row.ts';

/** Version of all rows but `turn`, which has its own in `format`; a reader refuses others. */
export const EXPERIMENT_FORMAT = 1;

export const EXPERIMENTS = ['paper', 'growth', 'load'] as const;
export type ExperimentName = (typeof EXPERIMENTS)[number];

/**
 * Where the words of replies come from. `model`: a trained model wrote them. `random-weights`: cost and number of ids are
 * those of a model, their bytes are not those of language. `transcript`: written replies, tokenized with the vocabulary of
 * the model; no model ran, times mean nothing. `unknown`: whatever the nodes of a scenario serve; no experiment writes it.
 */
export type ReplySource = 'model' | 'random-weights' | 'transcript' | 'unknown';

/** Tells plays apart; a type and not an interface, so that it fits the labels of a turn. */
export type PlayLabels = {
  /** Of `experiment_start.parts`: `edge-side`, `roaming`, ... */
  readonly part: string;
  /**
   * What is compared: a context mode (`tokenized`, `raw`, `client-side`), a way of replication (`delta`, `whole-context`,
   * `whole-context-json`), an API of OpenAI's (`responses` by `previous_response_id`, `chat` with the client's history), or
   * `llama-server` for the bare server with client-side history.
   */
  readonly variant: string;
  /**
   * What is held equal: `ours`; `paper` (the paper's consistency setting, 3 retries, 10 ms apart); or what a part varies,
   * such as `cache-kept` and `slot-taken`, `users-16`. `any`: the setting does not concern this variant (the consistency of
   * nodes is nothing to a client that keeps the history), compare it with every setting of the part.
   */
  readonly setting: string;
  /** `embedded`, `llama-server`, or `transcript` where no model ran. */
  readonly llm_service: string;
  /** From 1. */
  readonly repeat: number;
  readonly reply_source: ReplySource;
  /** From 1. */
  readonly order: number;
};

export interface LinkFacts {
  /** One way, in milliseconds. */
  readonly delay_ms: number;
  /** Share of packets, 0 to 1, each way. */
  readonly loss: number;
  /** Each way; null: as fast as the machine. */
  readonly mbit_per_s: number | null;
}

export interface NetworkFacts {
  /** `namespaces`: every node and the client in a network namespace of its own. `loopback`: all on one interface. */
  readonly kind: 'namespaces' | 'loopback';
  readonly client_link: LinkFacts;
  readonly node_link: LinkFacts;
}

export interface PartFacts {
  readonly part: string;
  /** One sentence, for a caption. */
  readonly about: string;
  readonly variants: readonly string[];
  readonly settings: readonly string[];
  readonly nodes: number;
  /** Turns a session. */
  readonly turns: number;
  readonly max_tokens: number;
  /** Of each setting; most parts have one network for all. */
  readonly networks: Readonly<Record<string, NetworkFacts>>;
}

export interface ExperimentStart {
  readonly kind: 'experiment_start';
  readonly experiment_format: typeof EXPERIMENT_FORMAT;
  readonly turn_format: typeof ROW_FORMAT;
  readonly experiment: ExperimentName;
  /** Name of the run, and of its file. */
  readonly run: string;
  /** ISO 8601. */
  readonly at: string;
  /** A smoke test: its numbers show nothing. */
  readonly quick: boolean;
  readonly version: string;
  /** `+` at its end: the tree had changes that no commit names. Empty where DisCEdge runs from a package. */
  readonly commit: string;
  readonly machine: string;
  readonly cores: number;
  readonly memory_bytes: number;
  readonly model: {
    readonly name: string;
    /** File name, without its folder. */
    readonly file: string;
    readonly bytes: number;
    /** As llama.cpp names file types: `Q8_0`, `Q4_K_M`, ... */
    readonly quantization: string;
    readonly reply_source: ReplySource;
  };
  readonly llm_services: readonly { readonly name: string; readonly version: string }[];
  readonly nats_server: string;
  readonly seed: number;
  readonly temperature: number;
  readonly repeats: number;
  readonly parts: readonly PartFacts[];
  /** Settings of the nodes that were given, and those that matter here: slots, threads, ... */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly plays_planned: number;
  readonly estimated_s: number;
}

export interface SyncRow {
  readonly kind: 'sync';
  readonly experiment_format: typeof EXPERIMENT_FORMAT;
  readonly at: string;
  readonly labels: PlayLabels;
  /** From 1; null: the whole session, quiet moments between its turns included. */
  readonly turn: number | null;
  /** The pair, in no order: bytes are those of both directions. Node names as in turn rows. */
  readonly nodes: readonly [one: string, other: string];
  /** Inside the encryption: commands and messages of the store's protocol. */
  readonly payload_bytes: number | null;
  /** All IP packets both ways, headers, acknowledgements and TLS included. null where it could not be measured. */
  readonly wire_bytes: number | null;
  readonly packets: number | null;
  /**
   * How: `network-counters` (of the network between the namespaces), `store-counters` (payload alone, as `GET /nodes`
   * tells it). Wire figures hold what nodes tell each other in any case, too: of a turn, from a moment before the end of its
   * reply until all was quiet; of a session, all the time.
   */
  readonly measured: 'network-counters' | 'store-counters';
  /** How long the wire was watched; what nodes say in any case goes by it. */
  readonly window_ms: number;
  /** Encoded size of the records of this turn; null where the experiment did not write them itself. */
  readonly record_bytes: number | null;
  /** Ids of the context after the turn. */
  readonly context_tokens: number | null;
  /** From the write's begin until it was durable here; until the other node could read it. null where not measured. */
  readonly append_ms: number | null;
  readonly arrive_ms: number | null;
}

/** p50, p95 and p99 of the turns that were answered, in milliseconds; null where there are none. */
export interface Percentiles {
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export interface LoadRow {
  readonly kind: 'load';
  readonly experiment_format: typeof EXPERIMENT_FORMAT;
  readonly at: string;
  readonly labels: PlayLabels;
  /** At once. */
  readonly users: number;
  readonly turns_answered: number;
  readonly turns_failed: number;
  readonly wall_ms: number;
  readonly turns_per_s: number;
  readonly reply_tokens_per_s: number;
  readonly response_ms: Percentiles;
  readonly first_token_ms: Percentiles;
  /** Through the clients' sockets, HTTP heads included. */
  readonly request_bytes: number;
}

export interface CheckRow {
  readonly kind: 'check';
  readonly experiment_format: typeof EXPERIMENT_FORMAT;
  readonly at: string;
  /** `prompt_tokens` and `reply_tokens` of each turn are equal in all variants. */
  readonly check: 'token_counts';
  readonly part: string;
  readonly setting: string;
  readonly llm_service: string;
  readonly repeat: number;
  readonly variants: readonly string[];
  readonly agrees: boolean;
  /** Turns in which they differ: ids of prompt and reply for each variant, in the order of `variants`. */
  readonly differences: readonly {
    readonly turn: number;
    readonly prompt_tokens: readonly (number | null)[];
    readonly reply_tokens: readonly (number | null)[];
  }[];
}

export interface NoteRow {
  readonly kind: 'note';
  readonly experiment_format: typeof EXPERIMENT_FORMAT;
  readonly at: string;
  /** null: about all of it. */
  readonly part: string | null;
  readonly text: string;
}

export interface ExperimentEnd {
  readonly kind: 'experiment_end';
  readonly experiment_format: typeof EXPERIMENT_FORMAT;
  readonly at: string;
  /** Whether every play was played to its end with every turn answered. */
  readonly complete: boolean;
  readonly reason: 'done' | 'interrupted' | 'turns_failed' | 'failed';
  readonly plays_planned: number;
  readonly plays_done: number;
  readonly wall_ms: number;
}

/** A turn of an experiment always says which play it belongs to. `repeat` and `user` are those of the experiment. */
export type ExperimentTurn = TurnRow & { readonly labels: PlayLabels };

export type ExperimentRow = ExperimentStart | ExperimentTurn | SyncRow | LoadRow | CheckRow | NoteRow | ExperimentEnd;

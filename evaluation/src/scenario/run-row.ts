/** Version of the rows; a reader refuses others. */
export const ROW_FORMAT = 1;

/** What every row of a run carries, so that each can be judged by itself. */
export interface RunFacts {
  readonly format: typeof ROW_FORMAT;
  readonly run: string;
  readonly scenario: string;
  readonly mode: string;
  readonly version: string;
  /** `+` at its end: the tree had changes that no commit names. Empty where DisCEdge runs from a package. */
  readonly commit: string;
  readonly machine: string;
  readonly model: string;
  readonly seed: number;
  readonly temperature: number;
  readonly max_tokens: number;
  /** `default`: as the node has it. */
  readonly consistency: string;
  readonly max_wait_ms: number | 'default';
  readonly stream: boolean;
  /** What else whoever ran it wanted to be told apart by. */
  readonly labels?: Readonly<Record<string, string | number | boolean>>;
}

export interface RunStart extends RunFacts {
  readonly kind: 'run_start';
  readonly at: string;
  readonly nodes: readonly {
    readonly name: string;
    readonly url: string;
    readonly node: string;
    readonly keygroup: string;
  }[];
  readonly users: number;
  readonly repeats: number;
  readonly turns_planned: number;
}

/** One turn as its client saw it. Numbers that the node did not tell are null. */
export interface TurnRow extends RunFacts {
  readonly kind: 'turn';
  /** When it was sent; ISO 8601. */
  readonly at: string;
  readonly user: number;
  readonly repeat: number;
  readonly turn: number;
  /** The scenario's name for the node. */
  readonly node: string;
  readonly node_url: string;
  /** The node's own id. */
  readonly node_id: string;
  /** Whether the turn before was at another node. */
  readonly moved: boolean;
  readonly think_ms: number;
  readonly session_id: string;
  readonly context_id: string;
  /** From sending to the last byte of the reply. */
  readonly response_ms: number;
  /** From sending to the first text; null for replies in one piece. */
  readonly first_token_ms: number | null;
  /** Through the client's sockets, HTTP heads and failed attempts included. */
  readonly request_bytes: number;
  readonly reply_bytes: number;
  /** Of the request's body alone, as the node counted it. */
  readonly request_body_bytes: number | null;
  readonly prompt_chars: number;
  /** Ids of the whole prompt; of them found in the KV cache; of them evaluated. */
  readonly prompt_tokens: number | null;
  readonly cached_tokens: number | null;
  readonly evaluated_tokens: number | null;
  readonly reply_tokens: number | null;
  readonly prompt_ms: number | null;
  readonly predicted_ms: number | null;
  /** Reply tokens a second while they were written, as the LLM Service measured it. */
  readonly tokens_per_second: number | null;
  /** How often and how long the node waited for the turn before. */
  readonly retries: number | null;
  readonly waited_ms: number | null;
  /** Attempts of the client after the first. */
  readonly client_retries: number;
  readonly based_on_turn: number | null;
  readonly dropped_turns: number | null;
  readonly replayed: boolean | null;
  readonly exact_ids: boolean | null;
  readonly stop_type: string;
  /** Code of what went wrong; empty when nothing did. */
  readonly error: string;
}

export interface RunEnd extends RunFacts {
  readonly kind: 'run_end';
  readonly at: string;
  /** Whether every turn planned was answered. A file without this row is incomplete too. */
  readonly complete: boolean;
  /** `done`, `interrupted` or `turns_failed`. */
  readonly reason: 'done' | 'interrupted' | 'turns_failed';
  readonly turns_answered: number;
  readonly turns_failed: number;
  readonly wall_ms: number;
}

export type RunRow = RunStart | TurnRow | RunEnd;

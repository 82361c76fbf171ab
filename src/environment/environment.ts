/**
 * Everything outside the process that DisCEdge may feel: time, chance, log and metrics. Nothing else reads a clock or
 * draws a random number, so one seed can replay a whole cluster in a test.
 */
export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface Clock {
  /** Wall clock, milliseconds since 1970; may jump. For times that are stored or compared between nodes. */
  now(): number;
  /** Milliseconds that only go forward, with fractions. For durations. */
  monotonic(): number;
  /** The same, but it goes on while the machine sleeps. */
  steady(): number;
  /** Runs `callback` once after `delayMs`, unless the returned function is called before. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void;
}

export interface Random {
  /** `length` unpredictable bytes. */
  bytes(length: number): Uint8Array;
  /** RFC 4122 version 4, lower case. */
  uuid(): string;
}

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * A line is an event name plus fields. Prompts, replies, token ids and keys never go in. `error` may be any thrown
 * value; only its name, code, message and stack are written.
 */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields, error?: unknown): void;
  error(event: string, fields?: LogFields, error?: unknown): void;
}

/** Names and label values are bounded sets: no session or user id is ever a label. */
export interface Metrics {
  counter(spec: MetricSpec): Counter;
  histogram(spec: MetricSpec & { readonly buckets: readonly number[] }): Histogram;
  /** `read` is called when the metric is collected; of a gauge with labels it gives all values that there are then. */
  gauge(spec: MetricSpec, read: () => GaugeReading | Promise<GaugeReading>): void;
}

export interface MetricSpec {
  /** Prometheus name with its unit, e.g. `discedge_turn_added_seconds`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

export type GaugeReading = number | readonly LabelledValue[];

export interface LabelledValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Counter {
  add(amount: number, labels?: Readonly<Record<string, string>>): void;
}

export interface Histogram {
  observe(value: number, labels?: Readonly<Record<string, string>>): void;
}

import type {
  Clock,
  Environment,
  LogFields,
  Logger,
  MetricSpec,
  Metrics,
  Random,
} from '../src/environment/environment.ts';

/** 2026-01-01T00:00:00Z: a time that a record can hold and a reader recognizes. */
const START_MS = 1_767_225_600_000;

export interface VirtualEnvironment extends Environment {
  /**
   * Moves both clocks forward by `ms`, running what is due in the order of its time. Between two due times everything
   * that waits for promises or immediates runs first, so a timer set by such code is still met in this call.
   * I/O is not waited for.
   */
  advance(ms: number): Promise<void>;
  /** Moves the wall clock only, as an administrator or NTP would; no timer runs. May be negative. */
  jump(ms: number): void;
  /** The machine sleeps: time passes, and only `monotonic` and what is timed by it does not see it. */
  sleep(ms: number): void;
  /** Timers set and neither run nor cancelled. */
  readonly pendingTimers: number;
  readonly logLines: readonly VirtualLogLine[];
  /**
   * A counter's or gauge's value, or a histogram's number of observations. A counter that was registered and never
   * added to is 0. Throws when no such metric is registered.
   */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** What a histogram was given, in order. */
  observations(name: string, labels?: Readonly<Record<string, string>>): readonly number[];
}

export interface VirtualLogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: LogFields;
  readonly error: unknown;
}

/** Time that moves only when told to, chance that one seed repeats, and a log and metrics that can be looked at. */
export function virtualEnvironment(options: { seed?: number; startMs?: number } = {}): VirtualEnvironment {
  const { clock, ...time } = virtualClock(options.startMs ?? START_MS);
  const logLines: VirtualLogLine[] = [];
  const { metrics, ...values } = collectingMetrics();
  return {
    clock,
    random: seededRandom(options.seed ?? 1),
    logger: collectingLog(logLines),
    metrics,
    logLines,
    advance: time.advance,
    jump: time.jump,
    sleep: time.sleep,
    get pendingTimers() {
      return time.pending();
    },
    ...values,
  };
}

function virtualClock(startMs: number) {
  let elapsedMs = 0;
  let asleepMs = 0;
  let wallOffsetMs = startMs;
  let nextOrder = 0;
  const timers = new Set<{ dueMs: number; order: number; callback: () => void }>();

  const clock: Clock = {
    now: () => Math.floor(wallOffsetMs + elapsedMs),
    monotonic: () => elapsedMs,
    steady: () => elapsedMs + asleepMs,
    after(delayMs, callback) {
      const timer = { dueMs: elapsedMs + Math.max(0, delayMs), order: nextOrder++, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
  };

  return {
    clock,
    pending: () => timers.size,
    jump(ms: number) {
      wallOffsetMs += ms;
    },
    sleep(ms: number) {
      wallOffsetMs += ms;
      asleepMs += ms;
    },
    async advance(ms: number) {
      const endMs = elapsedMs + ms;
      for (;;) {
        await settled();
        const due = [...timers].filter((timer) => timer.dueMs <= endMs);
        const [first] = due.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
        if (first === undefined) break;
        timers.delete(first);
        elapsedMs = Math.max(elapsedMs, first.dueMs);
        first.callback();
      }
      elapsedMs = endMs;
    },
  };
}

/** Promise reactions run before an immediate; a second round lets code that itself awaited an immediate go on. */
async function settled(): Promise<void> {
  for (let round = 0; round < 2; round++) await new Promise((resolve) => setImmediate(resolve));
}

/** xorshift32: good enough to vary a test, and the same on every machine. */
function seededRandom(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  const bytes = (length: number) =>
    Uint8Array.from({ length }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      state >>>= 0;
      return state >>> 24;
    });
  return {
    bytes,
    uuid() {
      const digits = Buffer.from(bytes(16));
      digits[6] = ((digits[6] as number) & 0x0f) | 0x40;
      digits[8] = ((digits[8] as number) & 0x3f) | 0x80;
      return digits.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    },
  };
}

function collectingLog(lines: VirtualLogLine[]): Logger {
  const write =
    (level: VirtualLogLine['level']) =>
    (event: string, fields: LogFields = {}, error?: unknown) =>
      void lines.push({ level, event, fields, error });
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

function collectingMetrics() {
  const registered = new Map<string, (labels: string) => number | Promise<number>>();
  const histograms = new Map<string, Map<string, number[]>>();

  function register({ name, labels: known = [] }: MetricSpec, read: (labels: string) => number | Promise<number>) {
    if (registered.has(name)) throw new Error(`metric ${name} is registered twice`);
    registered.set(name, read);
    return (labels: Readonly<Record<string, string>> = {}) => {
      const given = Object.keys(labels);
      if (given.length !== known.length || given.some((label) => !known.includes(label)))
        throw new Error(`metric ${name} has labels [${known}], not [${given}]`);
      return labelText(labels);
    };
  }

  const metrics: Metrics = {
    counter(spec) {
      const values = new Map<string, number>();
      const text = register(spec, (labels) => values.get(labels) ?? 0);
      return {
        add(amount, labels) {
          const key = text(labels);
          values.set(key, (values.get(key) ?? 0) + amount);
        },
      };
    },
    histogram(spec) {
      const values = new Map<string, number[]>();
      histograms.set(spec.name, values);
      const text = register(spec, (labels) => values.get(labels)?.length ?? 0);
      return {
        observe(value, labels) {
          const key = text(labels);
          const seen = values.get(key);
          if (seen === undefined) values.set(key, [value]);
          else seen.push(value);
        },
      };
    },
    gauge(spec, read) {
      register(spec, async (wanted) => {
        const values = await read();
        if (typeof values === 'number') return values;
        return values.find(({ labels }) => labelText(labels) === wanted)?.value ?? 0;
      });
    },
  };

  return {
    metrics,
    async metric(name: string, labels: Readonly<Record<string, string>> = {}) {
      const read = registered.get(name);
      if (read === undefined) throw new Error(`no metric ${name}; there are ${[...registered.keys()].join(', ')}`);
      return read(labelText(labels));
    },
    observations: (name: string, labels: Readonly<Record<string, string>> = {}) =>
      histograms.get(name)?.get(labelText(labels)) ?? [],
  };
}

function labelText(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

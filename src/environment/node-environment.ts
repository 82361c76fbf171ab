import { randomBytes, randomUUID } from 'node:crypto';
import { uptime } from 'node:os';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { Clock, Environment, LogFields, Logger, Random } from './environment.ts';
import { prometheusMetrics } from './prometheus-metrics.ts';
import { readableLogLine } from './readable-log.ts';
import { steadyTime } from './steady-time.ts';

export interface NodeEnvironment extends Environment {
  /** All metrics in Prometheus text format. */
  readonly registry: Registry;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** The real environment of a Node.js process; log lines are JSON on stderr, and readable ones where that is a terminal. */
export function nodeEnvironment(options: { logLevel: LogLevel; nodeId: string }): NodeEnvironment {
  const registry = new Registry();
  return {
    clock: nodeClock,
    random: nodeRandom,
    logger: pinoLog(options),
    metrics: prometheusMetrics(registry),
    registry,
  };
}

/** Some sandboxes do not tell; then a sleep looks like a clock that was put forward. */
function uptimeMs(): number {
  try {
    return uptime() * 1000;
  } catch {
    return 0;
  }
}

const nodeClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  steady: steadyTime({ wallMs: () => Date.now(), awakeMs: () => performance.now(), uptimeMs }),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

const nodeRandom: Random = {
  bytes: (length) => randomBytes(length),
  uuid: () => randomUUID(),
};

function pinoLog({ logLevel, nodeId }: { logLevel: LogLevel; nodeId: string }): Logger {
  const destination = pino.destination({ dest: 2, sync: true });
  const logger = pino(
    { level: logLevel, base: { node: nodeId }, messageKey: 'event' },
    process.stderr.isTTY ? { write: (line: string) => destination.write(readableLogLine(line)) } : destination,
  );
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields, error) => logger.warn(withError(fields, error), event),
    error: (event, fields, error) => logger.error(withError(fields, error), event),
  };
}

function withError(fields: LogFields | undefined, error: unknown): object {
  if (error === undefined) return fields ?? {};
  if (!(error instanceof Error)) return { ...fields, error: { message: String(error) } };
  const { name, message, stack } = error;
  const code = (error as { code?: unknown }).code;
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return { ...fields, error: { name, code, message, cause, stack } };
}

import { randomBytes, randomUUID } from 'node:crypto';
import { pino } from 'pino';
import type { Clock, Environment, LogFields, Logger, Random } from './environment.ts';
import { PrometheusMetrics } from './prometheus.ts';

export interface NodeEnvironment extends Environment {
  readonly metrics: PrometheusMetrics;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** The real environment of a Node.js process; log lines are JSON on stderr. */
export function nodeEnvironment(options: { logLevel: LogLevel; nodeId: string }): NodeEnvironment {
  return {
    clock: nodeClock,
    random: nodeRandom,
    logger: pinoLog(options),
    metrics: new PrometheusMetrics(),
  };
}

const nodeClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
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
  const logger = pino(
    { level: logLevel, base: { node: nodeId }, messageKey: 'event' },
    pino.destination({ dest: 2, sync: true }),
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

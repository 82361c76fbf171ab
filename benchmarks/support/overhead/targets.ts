import type { Measured } from './alternated.ts';
import type { ManySessions } from './many-sessions.ts';

export interface Target {
  readonly target: string;
  readonly to: string;
  readonly measured: string;
  readonly reached: 'yes' | 'no';
}

const BYTES_MAX = 6_000;
const RSS_MIB_MAX = 80;
/** What a cached session is estimated at, and what it takes, differ by less. */
const CACHE_FACTOR_MAX = 2;

/** What a turn is to cost, and what it costs. */
export function targets(measured: readonly Measured[], sessions: ManySessions): Target[] {
  const at = (variant: string, clients: number) =>
    measured.find((row) => row.variant === variant && row.clients === clients) as Measured;
  const most = (target: string, value: number, max: number, unit: string): Target => ({
    ...{ target, to: `≤ ${max} ${unit}`, measured: `${value} ${unit}`, reached: value <= max ? 'yes' : 'no' },
  });
  const least = (target: string, value: number, min: number): Target => ({
    ...{ target, to: `≥ ${min}/s`, measured: `${value}/s`, reached: value >= min ? 'yes' : 'no' },
  });
  const [first, last] = [sessions.rssMiB[0], sessions.rssMiB.at(-1)].map((step) => step?.mib ?? Number.NaN);
  const growth = Math.round((last as number) - (first as number));
  return [
    most('added to a turn, durable, p50', at('durable', 1).addedP50Ms, 0.3, 'ms'),
    most('added to a turn, durable, p99', at('durable', 1).addedP99Ms, 2, 'ms'),
    most('added in front of a llama-server, p50', at('in front', 1).addedP50Ms, 0.5, 'ms'),
    most('the same, streamed, p50', at('in front, stream', 1).addedP50Ms, 0.5, 'ms'),
    least('turns/s, durable, 64 clients', at('durable', 64).turnsPerSecond, 10_000),
    least('turns/s in front of a llama-server, 16 clients', at('in front', 16).turnsPerSecond, 3_500),
    most('bytes written a turn, one client', at('durable', 1).bytesWrittenATurn ?? Number.NaN, BYTES_MAX, 'B'),
    most('CPU a turn, durable, 64 clients', at('durable', 64).cpuMsATurn ?? Number.NaN, 0.12, 'ms'),
    most('memory of a node without a model', sessions.rssStartMiB, RSS_MIB_MAX, 'MiB'),
    most(
      `growth over ${sessions.rssMiB.at(-1)?.sessions} sessions`,
      growth,
      CACHE_FACTOR_MAX * sessions.cacheMiB,
      'MiB',
    ),
  ];
}

import { Lifetimes } from '../../domain/time/lifetimes.ts';
import { type KeptTime, NodeTime } from '../../domain/time/node-time.ts';
import type { Clock, Environment } from '../../environment/environment.ts';

/** A new time that no peer confirms is believed after so long: a machine that has just started is set within minutes. */
const SETTLE_MS = 600_000;

export interface NodeTimeSettings {
  readonly clockToleranceMs: number;
  readonly ttlSecondsMax: number;
  readonly kept: KeptTime | undefined;
  readonly isShared: boolean;
}

/** The node's time over the machine's clock. */
export function nodeTimeOver(
  clock: Clock,
  { clockToleranceMs: toleranceMs, ttlSecondsMax, kept, isShared }: NodeTimeSettings,
): NodeTime {
  const read = () => ({ wallMs: clock.now(), steadyMs: clock.steady() });
  const lifetimeMsMax = Lifetimes.longestMs(ttlSecondsMax * 1000);
  return new NodeTime({ read, kept, isShared, toleranceMs, settleMs: SETTLE_MS, lifetimeMsMax });
}

/** The environment as all of the node sees it: its time of day is the node's. */
export function timedEnvironment<E extends Environment>(environment: E, time: NodeTime): E {
  return { ...environment, clock: { ...environment.clock, now: () => time.nowMs } };
}

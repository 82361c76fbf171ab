import type { EdgeNodeConfig } from '../config/config.ts';
import { FLOOR_MS } from '../domain/time/node-time.ts';
import { readKeptTime } from '../edge-node/time/kept-time.ts';
import type { Check, Fetch } from './check.ts';

const NAME = 'clock';
const SET_IT = 'set the clock, or let NTP keep it (timedatectl set-ntp true)';
const ANSWER_WAIT_MS = 5_000;

/** Whether this machine has a time that can be: none from before the software, or before what the node here had already. */
export async function checkClock({ dataDir, clockToleranceMs }: EdgeNodeConfig, nowMs: number): Promise<Check> {
  const kept = await readKeptTime(dataDir);
  const earliestMs = Math.max(FLOOR_MS, kept?.timeMs ?? 0);
  const found = new Date(nowMs).toISOString();
  if (nowMs >= earliestMs - clockToleranceMs) return { name: NAME, outcome: 'ok', found };
  return {
    name: NAME,
    outcome: 'warn',
    found: `${found}, which is before ${new Date(earliestMs).toISOString()}: nothing expires here until it is right`,
    fix: SET_IT,
  };
}

/** What a running node says of its clock; nothing of one that does not say. */
export async function checkNodeClock(url: string, fetch: Fetch): Promise<Check[]> {
  try {
    const answer = await fetch(`${url}/nodes?probe=false`, { signal: AbortSignal.timeout(ANSWER_WAIT_MS) });
    const { nodes } = (await answer.json()) as { nodes: readonly { node: string; clock?: OwnClock }[] };
    const [self] = nodes;
    if (self?.clock === undefined) return [];
    const { trusted, doubt, time, machine_ahead_ms: aheadMs } = self.clock;
    const name = `${NAME} of ${self.node}`;
    if (trusted) return [{ name, outcome: 'ok', found: time }];
    const found = `in doubt (${doubt}), ${Math.round(aheadMs / 1000)} s from the node's time ${time}: nothing expires there`;
    return [{ name, outcome: 'warn', found, fix: `${SET_IT}; /nodes says what its peers have` }];
  } catch {
    return [];
  }
}

interface OwnClock {
  readonly trusted: boolean;
  readonly doubt?: string;
  readonly time: string;
  readonly machine_ahead_ms: number;
}

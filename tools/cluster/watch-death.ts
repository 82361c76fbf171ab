import type { Attempt, Observations } from './observations.ts';

/** The turn before is still on the dead node only, or its number was taken by an abandoned message. */
const REFUSALS: ReadonlySet<string> = new Set(['context_stale', 'turn_conflict']);
/** The client's own patience, on a slow machine. */
const IMPATIENCE = 'TimeoutError';

/**
 * Watches requests from the moment before a node is killed. `account` says what its death has cost, and throws when that
 * was more than the requests that it had in flight.
 */
export function watchDeath(url: string, observations: Observations): { account(): string } {
  const diedMs = performance.now();
  const inFlight = observations.underWay(url);
  const acknowledgedBefore = observations.acknowledged;
  const ended: Attempt[] = [];
  const unwatch = observations.watch((attempt) => {
    if (attempt.path === '/completion') ended.push(attempt);
  });
  return {
    account() {
      unwatch();
      const cutOff = ended.filter(
        ({ node, beganMs, status }) => node === url && beganMs <= diedMs && status === undefined,
      );
      const elsewhere = ended.filter(({ node, code }) => node !== url && code !== undefined);
      const stale = elsewhere.filter(({ code = '' }) => REFUSALS.has(code));
      const harmed = elsewhere.filter(({ code = '' }) => !REFUSALS.has(code) && code !== IMPATIENCE);
      if (harmed.length > 0) {
        const codes = [...new Set(harmed.map(({ code }) => code))].join(', ');
        throw new Error(`${harmed.length} requests to nodes that had not died failed with ${codes}`);
      }
      const others = observations.acknowledged - acknowledgedBefore;
      return `${cutOff.length} of ${inFlight} requests in flight there cut off; the others acknowledged ${others} turns and refused ${stale.length} as stale, none failed`;
    },
  };
}

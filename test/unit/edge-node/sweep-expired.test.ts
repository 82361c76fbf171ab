// Lets sessions expire on a node of which other nodes may know better: alone it removes them at once, with its peers in
// sight after a grace, and cut off from one of them, or behind it, not until it is hopeless.
import { expect, it } from 'vitest';
import { SessionRecords } from '../../../src/context-manager/sessions/session-records.ts';
import type { ContextStore } from '../../../src/context-store/context-store.ts';
import type { PeerState } from '../../../src/context-store/replication-status.ts';
import { sweepExpired } from '../../../src/edge-node/sweep-expired.ts';
import { nodeTimeOver } from '../../../src/edge-node/time/timed-environment.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const EVERY_MS = 60_000;
const REMOVAL_GRACE_MS = 20 * 60_000;
const CUT_OFF_GRACE_MS = 7 * 24 * 3_600_000;

interface Peer {
  readonly state: PeerState;
  readonly lag?: number;
}

/** How old an expired session must be to be removed. */
async function graceOf(shared: 'alone' | readonly Peer[]): Promise<number> {
  const environment = virtualEnvironment();
  let before: number | undefined;
  const store = {
    expire: async (nowMs: number) => {
      before = nowMs;
      return 0;
    },
    onRecord: () => () => {},
    onRemoved: () => () => {},
    ...(shared !== 'alone' && {
      sharing: {
        status: () => ({ peers: shared.map(({ state, lag = 0 }) => ({ state, logs: [{ lag: 0 }, { lag }] })) }),
      },
    }),
  };
  const { clock } = environment;
  const settings = { clockToleranceMs: 60_000, ttlSecondsMax: 1e6, kept: undefined, isShared: false };
  const time = nodeTimeOver(clock, settings);
  const records = new SessionRecords({ store: store as unknown as ContextStore, time, cacheBytesMax: 0 });
  const end = sweepExpired(records, environment, EVERY_MS);
  await environment.advance(EVERY_MS);
  await end();
  return environment.clock.now() - (before as number);
}

it.each([
  ['alone', 0],
  [[], REMOVAL_GRACE_MS],
  [[{ state: 'connected' }, { state: 'silent' }, { state: 'refused', lag: 7 }], REMOVAL_GRACE_MS],
  [[{ state: 'connected' }, { state: 'unreachable' }], CUT_OFF_GRACE_MS],
  [[{ state: 'connected', lag: 1 }], CUT_OFF_GRACE_MS],
  [[{ state: 'silent', lag: 1 }], CUT_OFF_GRACE_MS],
] as const)('%j: %i ms', async (shared, graceMs) => {
  expect(await graceOf(shared)).toBe(graceMs);
});

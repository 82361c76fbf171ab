import type { SharedContexts } from '../../context-store/context-store.ts';
import type { ClockDoubt, KeptTime, NodeTime, PeerClock } from '../../domain/time/node-time.ts';
import type { Environment } from '../../environment/environment.ts';
import { repeat } from '../../waiting/repeat.ts';

/** Peers are weighed that often; what they say comes with greetings. */
const LOOK_EVERY_MS = 1_000;
/** A start after a crash takes the clock to have stood still for that long at most. */
const KEEP_EVERY_MS = 60_000;

export interface KeptTimeParts {
  readonly time: NodeTime;
  readonly sharing: SharedContexts | undefined;
  /** `undefined` where nothing outlives the process. */
  readonly keep: ((kept: KeptTime) => Promise<void>) | undefined;
}

/** Weighs the clocks again and again, says in the log when they come to be doubted or trusted, and keeps the time. Returns what ends it. */
export function keepTime(
  { time, sharing, keep }: KeptTimeParts,
  { clock, logger, metrics }: Pick<Environment, 'clock' | 'logger' | 'metrics'>,
): () => Promise<void> {
  let told: ClockDoubt | undefined = 'starting';
  let keptAtMs = clock.monotonic();
  let keeping = Promise.resolve();

  const look = () => {
    time.consider(peerClocks(sharing));
    const { doubt } = time;
    const hasTurned = doubt !== told;
    if (hasTurned) tell(doubt);
    told = doubt;
    // A node that is killed soon after its first start is not to start in 1970 with no time at all.
    if ((hasTurned && doubt === undefined) || clock.monotonic() - keptAtMs >= KEEP_EVERY_MS) keepNow();
  };
  const tell = (doubt: ClockDoubt | undefined) => {
    const fields = { wallAheadMs: time.wallAheadMs, peersAheadMs: peersAhead(time, sharing) };
    if (doubt === undefined) logger.info('clock_trusted', fields);
    else logger.warn('clock_doubted', { reason: doubt, ...fields });
  };
  const keepNow = () => {
    keptAtMs = clock.monotonic();
    const { kept } = time;
    keeping = keeping.then(() => keep?.(kept)).catch((error) => logger.warn('time_not_kept', {}, error));
  };

  metrics.gauge(
    { name: 'discedge_clock_trusted', help: '1 while the clock is not in doubt; else 0, and nothing expires' },
    () => (time.doubt === undefined ? 1 : 0),
  );
  look();
  const end = repeat({ clock, everyMs: LOOK_EVERY_MS }, look);
  return async () => {
    await end();
    keepNow();
    await keeping;
  };
}

function peerClocks(sharing: SharedContexts | undefined): PeerClock[] {
  return sharing?.status().peers.flatMap(({ clock }) => clock ?? []) ?? [];
}

/** `e2 -3 ms ± 1 ms`, of all peers that have said. */
function peersAhead(time: NodeTime, sharing: SharedContexts | undefined): string | undefined {
  const said = sharing
    ?.status()
    .peers.flatMap(({ nodeId, clock }) =>
      clock === undefined ? [] : [`${nodeId} ${time.aheadMs(clock)} ms ± ${Math.ceil(clock.plusMinusMs)} ms`],
    );
  return said === undefined || said.length === 0 ? undefined : said.join(', ');
}

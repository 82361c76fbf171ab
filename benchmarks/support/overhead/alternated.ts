import { quantile, rounded } from '../statistics.ts';
import type { Load } from '../turn-load.ts';
import type { MeasuredServer } from './measured-server.ts';

/** Something that turns are sent to. */
export interface Contestant {
  readonly variant: string;
  /** Keeps so many clients busy for so long. */
  load(clients: number, elapsedMs: number): Promise<Load>;
  /** `undefined` for what is not ours to account for. */
  readonly server: MeasuredServer | undefined;
}

export interface Measured {
  readonly variant: string;
  readonly clients: number;
  readonly turnsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Beyond the first contestant, at as many clients. */
  readonly addedP50Ms: number;
  readonly addedP99Ms: number;
  /** Of the server's process, by the operating system's accounting. */
  readonly cpuMsATurn: number | undefined;
  readonly bytesWrittenATurn: number | undefined;
}

/** So that a machine whose speed drifts drifts for all of them. */
const SLICE_MS = 500;

/** All contestants in turn, slice by slice, until each has had its time; the first is what the others are held against. */
export async function alternated(
  contestants: readonly Contestant[],
  { clients, elapsedMs }: { readonly clients: number; readonly elapsedMs: number },
): Promise<Measured[]> {
  const sums = contestants.map(() => ({ turnMs: [] as number[], elapsedMs: 0, cpuMs: 0, writtenBytes: 0 }));
  for (let slice = 0; slice * SLICE_MS < elapsedMs; slice++) {
    for (let i = 0; i < contestants.length; i++) {
      const at = (i + slice) % contestants.length;
      const [{ load, server }, sum] = [contestants[at] as Contestant, sums[at] as (typeof sums)[number]];
      const before = await server?.usage();
      const loaded = await load(clients, SLICE_MS);
      const after = await server?.usage();
      for (const ms of loaded.turnMs) sum.turnMs.push(ms);
      sum.elapsedMs += loaded.elapsedMs;
      sum.cpuMs += (after?.cpuMs ?? 0) - (before?.cpuMs ?? 0);
      sum.writtenBytes += (after?.writtenBytes ?? 0) - (before?.writtenBytes ?? 0);
    }
  }
  const first = sums[0]?.turnMs ?? [];
  return contestants.map(({ variant, server }, at) => {
    const { turnMs, elapsedMs, cpuMs, writtenBytes } = sums[at] as (typeof sums)[number];
    const p = (q: number) => quantile(turnMs, q);
    return {
      variant,
      clients,
      turnsPerSecond: Math.round((turnMs.length * 1000) / elapsedMs),
      p50Ms: rounded(p(0.5)),
      p99Ms: rounded(p(0.99)),
      addedP50Ms: rounded(p(0.5) - quantile(first, 0.5)),
      addedP99Ms: rounded(p(0.99) - quantile(first, 0.99)),
      cpuMsATurn: server && rounded(cpuMs / turnMs.length),
      bytesWrittenATurn: server && Math.round(writtenBytes / turnMs.length),
    };
  });
}

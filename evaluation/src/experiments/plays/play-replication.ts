import { EXPERIMENT_FORMAT } from '../rows/experiment-rows.ts';
import { startReplicas } from '../site/site.ts';
import { between } from '../site/sync-meter.ts';
import type { PlayContext, PlayResult, PlaySpec, ReplicationScript } from './play.ts';

interface Written {
  readonly hash: string;
  readonly append_ms: number;
  readonly record_bytes: number;
  readonly context_tokens: number;
}

/** At the end of a session: what is said late, as acknowledgements are, is part of it. */
const LAST_QUIET_MS = 1_000;

/** Writes a conversation's records at one replica, waits for each at the other, and counts what went between them. */
export async function playReplication(
  spec: PlaySpec,
  { site: context, labels, append }: PlayContext,
): Promise<PlayResult> {
  const { form, turns } = spec.script as ReplicationScript;
  const site = await startReplicas(spec.site, context);
  const { clock, signal } = context;
  const [here, there] = site.urls as [string, string];
  const ask = async <T>(url: string): Promise<T> => {
    const response = await fetch(url, signal === undefined ? {} : { signal });
    if (!response.ok) throw new Error(`${url} answers ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  };
  try {
    const first = await site.meter.settled(LAST_QUIET_MS);
    const firstMs = clock.monotonic();
    let [last, lastMs] = [first, firstMs];
    const write = (turn: number | null, written: Partial<Written>, arriveMs: number | null, before: typeof first) => {
      const [{ payloadBytes, wire } = { payloadBytes: 0, wire: undefined }] = between(before, last);
      append({
        kind: 'sync',
        experiment_format: EXPERIMENT_FORMAT,
        at: new Date(clock.now()).toISOString(),
        labels,
        turn,
        nodes: [site.names[0] as string, site.names[1] as string],
        payload_bytes: payloadBytes,
        wire_bytes: wire?.bytes ?? null,
        packets: wire?.packets ?? null,
        measured: site.meter.measured,
        window_ms: Math.round(clock.monotonic() - (turn === null ? firstMs : lastMs)),
        record_bytes: written.record_bytes ?? null,
        context_tokens: written.context_tokens ?? null,
        append_ms: written.append_ms ?? null,
        arrive_ms: arriveMs,
      });
    };
    let contextTokens: number | undefined;
    for (let turn = 1; turn <= turns; turn++) {
      const startMs = clock.monotonic();
      const written = await ask<Written>(`${here}/write?form=${form}`);
      await ask(`${there}/arrived?hash=${written.hash}`);
      const arriveMs = clock.monotonic() - startMs;
      const before = last;
      last = await site.meter.settled();
      write(turn, written, arriveMs, before);
      lastMs = clock.monotonic();
      contextTokens = written.context_tokens;
    }
    last = await site.meter.settled(LAST_QUIET_MS);
    write(null, contextTokens === undefined ? {} : { context_tokens: contextTokens }, null, first);
    return { turnsAnswered: turns, turnsFailed: 0 };
  } finally {
    await site.close();
  }
}

import { Transport } from 'discedge/internal/client/transport';
import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import { MeteredFetch } from '../../conversation/metered-fetch.ts';
import type { OpenAiApi } from '../../conversation/openai-conversation.ts';
import type { RunRow, TurnRow } from '../../scenario/run-row.ts';
import { runScenario, turnsPlanned } from '../../scenario/run-scenario.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { EXPERIMENT_FORMAT, type ExperimentTurn } from '../rows/experiment-rows.ts';
import { type Site, startSite } from '../site/site.ts';
import { between, type PairReading } from '../site/sync-meter.ts';
import { WireSamples } from '../site/wire-samples.ts';
import { type ConversationScript, type PlayContext, type PlayResult, type PlaySpec, warmUpScenario } from './play.ts';

/** At the end of a session: what is said late, as acknowledgements are, is part of it. */
const LAST_QUIET_MS = 1_000;
/** How long before the end of its reply a turn's record begins to travel at the earliest, by far. */
const RECORD_LEAD_MS = 300;
/** Somebody else's words: nothing of a conversation begins like them. */
const STRANGER = 'Somewhere else entirely, a gardener is planting seven rows of beans.';

/** Plays one conversation in a site of its own and records its turns, and what they cost between the nodes. */
export async function playConversation(spec: PlaySpec, context: PlayContext): Promise<PlayResult> {
  const script = spec.script as ConversationScript;
  const site = await startSite(spec.site, context.site);
  try {
    await warmUp(site, script.mode, 1, context);
    const meter = script.countsSync ? new TurnMeter(site, context) : undefined;
    await meter?.begin();
    const result = await play(site, script, context, {
      async afterTurn(row) {
        await meter?.afterTurn(row);
        if (row.turn < script.scenario.turns.length) await disturb(site, script, context);
        meter?.beforeTurn();
      },
    });
    // Half a session's bytes are no session's.
    if (result.turnsAnswered === turnsPlanned(script.scenario)) await meter?.end();
    return result;
  } finally {
    await site.close();
  }
}

/** Turns that leave no rows: pages are read in and code is compiled before anything is measured. */
export async function warmUp(site: Site, mode: ContextMode, users: number, context: PlayContext): Promise<void> {
  const { clock, signal, seed } = context.site;
  const scenario = warmUpScenario(site.names, users, seed);
  const sink = { append() {} };
  await runScenario({ scenario, mode, nodes: site.nodes, facts: context.facts, sink, clock, signal });
}

/** Plays a scenario at a site; its turns become rows of the experiment. */
export async function play(
  site: Site,
  {
    scenario,
    mode,
    api,
  }: { readonly scenario: Scenario; readonly mode: ContextMode; readonly api?: OpenAiApi | undefined },
  { site: { clock, signal }, facts, labels, append }: PlayContext,
  hooks: { readonly afterTurn?: (row: TurnRow) => Promise<void>; readonly keepsConnections?: boolean } = {},
): Promise<PlayResult & { readonly turns: readonly TurnRow[]; readonly wallMs: number }> {
  const sink = {
    append(row: RunRow) {
      if (row.kind === 'turn') append({ ...row, repeat: labels.repeat, labels } satisfies ExperimentTurn);
    },
  };
  const options = { scenario, mode, api, nodes: site.nodes, facts, sink, clock, signal, ...hooks };
  const { turns, end } = await runScenario(options);
  return { turns, wallMs: end.wall_ms, turnsAnswered: end.turns_answered, turnsFailed: end.turns_failed };
}

async function disturb(site: Site, { afterTurn }: ConversationScript, context: PlayContext): Promise<void> {
  switch (afterTurn) {
    case 'nothing':
      return;
    case 'slot-taken':
      return takeSlots(site, context);
    case 'node-restarted':
      return site.restart(0);
    default:
      return afterTurn satisfies never;
  }
}

/** A request with another beginning, to every node: where there is one slot, it is taken. */
async function takeSlots(site: Site, { site: { clock, signal } }: PlayContext): Promise<void> {
  const metered = new MeteredFetch(clock);
  try {
    const policy = { retriesMax: 0, backoffMs: 0 };
    const transport = new Transport({ fetch: metered.fetch, headers: {}, policy });
    const body = { prompt: STRANGER, mode: 'client-side', n_predict: 1, temperature: 0 };
    for (const { url } of site.nodes) {
      await transport.sendForJson(url, { method: 'POST', path: '/completion', body, signal });
    }
  } finally {
    metered.close();
  }
}

/** Rows of what went between the nodes: for each turn, and for the session as a whole. */
class TurnMeter {
  readonly #site: Site;
  readonly #context: PlayContext;
  readonly #samples: WireSamples;
  #first: Taken | undefined;
  #last: Taken | undefined;
  #contextTokens: number | null = null;

  constructor(site: Site, context: PlayContext) {
    this.#site = site;
    this.#context = context;
    this.#samples = new WireSamples(site.meter, context.site.clock);
  }

  async begin(): Promise<void> {
    this.#first = await this.#take(LAST_QUIET_MS);
    this.#last = this.#first;
    this.beforeTurn();
  }

  beforeTurn(): void {
    this.#samples.start();
  }

  async afterTurn({ turn, prompt_tokens, reply_tokens }: TurnRow): Promise<void> {
    const before = this.#fromSample(this.#last as Taken);
    this.#last = await this.#take();
    if (prompt_tokens !== null && reply_tokens !== null) this.#contextTokens = prompt_tokens + reply_tokens;
    this.#write(turn, before, this.#last);
  }

  /** The payload is the records' alone and counts from the turn before; the wire, from a moment before this turn's end. */
  #fromSample(last: Taken): Taken {
    const sample = this.#samples.stop(this.#context.site.clock.monotonic() - RECORD_LEAD_MS);
    if (sample === undefined) return last;
    const readings = last.readings.map(({ payloadBytes }, index) => ({ payloadBytes, wire: sample.wires[index] }));
    return { readings, atMs: sample.atMs };
  }

  async end(): Promise<void> {
    this.#samples.stop(0);
    this.#write(null, this.#first as Taken, await this.#take(LAST_QUIET_MS));
  }

  async #take(quietMs?: number): Promise<Taken> {
    const readings = await this.#site.meter.settled(quietMs);
    return { readings, atMs: this.#context.site.clock.monotonic() };
  }

  #write(turn: number | null, before: Taken, after: Taken): void {
    const { labels, append, site } = this.#context;
    const { meter, names } = this.#site;
    const at = new Date(site.clock.now()).toISOString();
    for (const [index, { payloadBytes, wire }] of between(before.readings, after.readings).entries()) {
      const [one, other] = meter.pairs[index] as readonly [number, number];
      append({
        kind: 'sync',
        experiment_format: EXPERIMENT_FORMAT,
        at,
        labels,
        turn,
        nodes: [names[one] as string, names[other] as string],
        payload_bytes: payloadBytes,
        wire_bytes: wire?.bytes ?? null,
        packets: wire?.packets ?? null,
        measured: meter.measured,
        window_ms: Math.round(after.atMs - before.atMs),
        record_bytes: null,
        context_tokens: this.#contextTokens,
        append_ms: null,
        arrive_ms: null,
      });
    }
  }
}

interface Taken {
  readonly readings: readonly PairReading[];
  readonly atMs: number;
}

import { converse, paceFor, Told } from '../../../tools/overload/crowd.ts';
import { lookFor } from '../../../tools/overload/kept-turns.ts';
import type { TurnApi } from '../../../tools/overload/turn-apis.ts';
import { turnClient } from '../../../tools/overload/turn-client.ts';
import { quantile, rounded } from '../statistics.ts';

/** Between a reply and the next turn. */
const READING_MS = 100;

export interface SteadyUser {
  readonly api: TurnApi;
  readonly key: string;
}

/** Users that stay within their share of a node: one turn at a time on one API each, with some time to read. */
export class SteadyUsers {
  readonly #url: string;
  readonly #users: readonly SteadyUser[];

  constructor(url: string, users: readonly SteadyUser[]) {
    this.#url = url;
    this.#users = users;
  }

  /** `name`: of their sessions, no two runs' the same. */
  async run(name: string, seconds: number): Promise<SteadyRun> {
    const pace = paceFor(seconds, { answeredMs: READING_MS });
    const runs = this.#users.map(async ({ api, key }) => {
      const told = new Told();
      await converse(api, { url: this.#url, key, user: `${name}-${api.name}` }, told, pace);
      return { api, key, told };
    });
    return new SteadyRun(this.#url, await Promise.all(runs));
  }

  /** Milliseconds until a turn of one of them took no more than `asLongAsMs`. */
  async msUntilNormal(asLongAsMs: number): Promise<number> {
    const [{ api, key }] = this.#users as [SteadyUser];
    const sinceMs = performance.now();
    const client = turnClient(api, { url: this.#url, key, user: `again-${sinceMs}` });
    for (let turn = 0; ; ) {
      const startedMs = performance.now();
      const { status } = await client.turn(turn);
      const endedMs = performance.now();
      if (status === 200 && endedMs - startedMs <= asLongAsMs) return rounded(endedMs - sinceMs, 0);
      if (status === 200) turn++;
    }
  }
}

/** What such users were told in a run. */
export class SteadyRun {
  readonly #url: string;
  readonly #runs: readonly (SteadyUser & { readonly told: Told })[];

  constructor(url: string, runs: readonly (SteadyUser & { readonly told: Told })[]) {
    this.#url = url;
    this.#runs = runs;
  }

  get turnMs(): readonly number[] {
    return this.#runs.flatMap(({ told }) => told.turnMs);
  }

  /** Of all of them, and of each API. */
  rows(beside: string) {
    const row = (api: string, told: readonly Told[]) => {
      const turnMs = told.flatMap((one) => one.turnMs);
      return {
        ...{ beside, api, turns: turnMs.length },
        refused: told.reduce((sum, { asked }) => sum + asked, 0) - turnMs.length,
        ...{ p50Ms: rounded(quantile(turnMs, 0.5), 1), p99Ms: rounded(quantile(turnMs, 0.99), 1) },
      };
    };
    return [
      row(
        'all',
        this.#runs.map(({ told }) => told),
      ),
      ...this.#runs.map(({ api, told }) => row(api.name, [told])),
    ];
  }

  /** Acknowledged turns that the node has afterwards, and that it has not. */
  async lookFor(): Promise<{ kept: number; lost: number }> {
    const found = { kept: 0, lost: 0 };
    for (const { key, told } of this.#runs) {
      const { kept, lost } = await lookFor(told, { url: this.#url, key });
      found.kept += kept;
      found.lost += lost.length;
    }
    return found;
  }
}

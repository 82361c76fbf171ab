import type { NodeProcess } from '../../../tools/node-process.ts';
import { converse, IMPATIENT_MS, nobodyReads, paceFor, Told } from '../../../tools/overload/crowd.ts';
import { lookFor } from '../../../tools/overload/kept-turns.ts';
import { MemoryWatch } from '../../../tools/overload/memory-watch.ts';
import { TURN_APIS, type TurnApi } from '../../../tools/overload/turn-apis.ts';
import { asked } from '../../../tools/overload/turn-client.ts';
import { quantile, rounded } from '../statistics.ts';
import type { SteadyRun, SteadyUsers } from './steady-users.ts';

/** How many times of what the node can do is asked of it. */
const TIMES = 10;
/** A refusal takes so long at most, on a machine that is not otherwise busy. */
const REFUSAL_MS = 50;
/** Streams that nobody reads. */
const UNREAD_CONNECTIONS = 16;
/** A turn is as before once it takes no longer than so many of them did. */
const AS_BEFORE = 0.99;

export interface CrowdRun {
  readonly name: string;
  /** What the users beside it were told meanwhile. */
  readonly users: SteadyRun;
  readonly crowdRows: readonly object[];
  readonly nodeRow: object;
}

/** Clients of one service on every API, each for a user of its own, who do not wait when they are told to. */
export class Crowd {
  readonly #node: NodeProcess;
  readonly #parts: { readonly reader: string; readonly steady: SteadyUsers; readonly turnsInFlightMax: number };

  /** `reader`: the key of a service that nothing limits. */
  constructor(
    node: NodeProcess,
    parts: { readonly reader: string; readonly steady: SteadyUsers; readonly turnsInFlightMax: number },
  ) {
    this.#node = node;
    this.#parts = parts;
  }

  /** Turns a second that the node answers to so many clients, none of which it has to refuse. */
  async capacity(key: string, { clients, seconds }: { clients: number; seconds: number }): Promise<number> {
    const told = await this.#converse('capacity', { key, clients, seconds });
    return Math.round(told.reduce((sum, { turnMs }) => sum + turnMs.length, 0) / seconds);
  }

  /** Resolves once the node has taken up a key. */
  async isKnown(key: string): Promise<void> {
    while ((await asked({ url: this.#node.url, key }, '/v1/models')).status !== 200);
  }

  async run(
    name: string,
    { key, seconds, capacity, alone }: { key: string; seconds: number; capacity: number; alone: SteadyRun },
  ): Promise<CrowdRun> {
    const { reader, steady, turnsInFlightMax } = this.#parts;
    const { url } = this.#node;
    const prefix = name.replace(' ', '-');
    const memory = new MemoryWatch(this.#node.process.pid);
    const unread = Array.from({ length: UNREAD_CONNECTIONS }, (_, at) =>
      nobodyReads({ url, key, user: `${prefix}-unread-${at}` }),
    );
    const clients = turnsInFlightMax + Math.ceil((capacity * TIMES * (IMPATIENT_MS + REFUSAL_MS)) / 1000);
    const [told, users] = await Promise.all([
      this.#converse(prefix, { key, clients, seconds }),
      steady.run(prefix, seconds),
    ]);
    const normalAfterMs = await steady.msUntilNormal(quantile(alone.turnMs, AS_BEFORE));
    for (const socket of unread) socket.destroy();
    memory.stop();
    const afterMiB = memory.nowMiB;
    const found = await users.lookFor();
    for (const one of told) {
      const { kept, lost } = await lookFor(one, { url, key: reader });
      found.kept += kept;
      found.lost += lost.length;
    }
    const all = told.reduce((sum, one) => sum + one.asked, 0);
    return {
      ...{ name, users },
      crowdRows: TURN_APIS.map((api, at) => ({ crowd: name, api: api.name, ...answersOf(told[at] as Told) })),
      nodeRow: {
        ...{ crowd: name, clients, askedTimesCapacity: rounded(all / seconds / capacity, 1) },
        ...{ beforeMiB: memory.beforeMiB, mostMiB: memory.mostMiB, afterMiB },
        ...{ keptTurns: found.kept, lostTurns: found.lost, normalAfterMs },
      },
    };
  }

  /** What the clients of each API were told together, in the order of the APIs. */
  async #converse(
    prefix: string,
    { key, clients, seconds }: { key: string; clients: number; seconds: number },
  ): Promise<Told[]> {
    const told = TURN_APIS.map(() => new Told());
    const pace = paceFor(seconds);
    const each = Array.from({ length: clients }, (_, at) => {
      const api = TURN_APIS[at % TURN_APIS.length] as TurnApi;
      const sender = { url: this.#node.url, key, user: `${prefix}-${at}` };
      return converse(api, sender, told[at % TURN_APIS.length] as Told, pace);
    });
    await Promise.all(each);
    return told;
  }
}

function answersOf(told: Told) {
  const [served, limited, full] = [told.count(200), told.count(429), told.count(503)];
  const others = told.asked - served - limited - full;
  return { served, refused429: limited, refused503: full, otherAnswers: others, withoutRetryAfter: told.mute };
}

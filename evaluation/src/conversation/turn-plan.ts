import { createHash } from 'node:crypto';
import type { Scenario } from '../scenario/scenario.ts';

/** One turn of one user. */
export interface PlannedTurn {
  /** From 1. */
  readonly turn: number;
  readonly message: string;
  /** Index of the node it goes to. */
  readonly node: number;
  /** Pause before it. */
  readonly thinkMs: number;
}

export interface Place {
  /** From 1. */
  readonly user: number;
  readonly repeat: number;
}

/** What a user does in one repeat. The same seed gives the same plan, everywhere. */
export function planTurns(scenario: Scenario, place: Place): PlannedTurn[] {
  const { user, repeat } = place;
  const { turns, route, nodes, seed, thinkMs } = scenario;
  const [least, most] = thinkMs;
  const own = (user - 1) % nodes.length;
  const chance = (what: string, turn: number) => fraction(`${seed}/${what}/${user}/${repeat}/${turn}`);
  return turns.map(({ message, node }, index) => {
    const turn = index + 1;
    const thought = Math.round(least + chance('think', turn) * (most - least));
    const drawn = Math.floor(chance('node', turn) * nodes.length);
    const routed = { stay: own, 'as-told': own, 'round-robin': (own + index) % nodes.length, random: drawn }[route];
    return {
      turn,
      message: textFor(scenario, message, place),
      node: node ?? routed,
      thinkMs: turn === 1 ? 0 : thought,
    };
  });
}

/** A message or system message of the scenario as this user says it. */
export function textFor({ numbered }: Scenario, text: string, { user, repeat }: Place): string {
  return numbered ? text.replaceAll('{user}', String(user)).replaceAll('{repeat}', String(repeat)) : text;
}

/** Whether some user's session goes from one node to another. */
export function isRoaming({ turns, route, nodes }: Scenario): boolean {
  if (nodes.length < 2) return false;
  return route === 'as-told' ? new Set(turns.map(({ node }) => node)).size > 1 : route !== 'stay';
}

/** From 0 up to but not including 1, evenly, by the text alone. */
function fraction(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;
}

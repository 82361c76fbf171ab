import { mayTake } from './check-replicas.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { History, Violation } from './history.ts';

/** After that a node that has healed is taken not to heal. */
const CATCH_UP_WAIT_MS = 90_000;
const MARKS_PER_NODE = 5;
/** Questions to one node at once. */
const LANES = 4;
const LOOK_EVERY_MS = 25;

/** What every node must come to hold: sessions, and up to which turn. */
export interface Marks {
  readonly turns: Map<string, number>;
  /** Sessions that may have been deleted. */
  readonly deleted: Set<string>;
}

/**
 * What was last acknowledged in a part of a history, by each node. Records travel in the order in which a node has written
 * them, so a node that holds these holds the others too; that it holds all of them is looked at in the end.
 */
export function marksOf(history: History): Marks {
  const turns = new Map<string, number>();
  const deleted = new Set<string>();
  const left = new Map<string, number>();
  for (const event of history.toReversed()) {
    if (event.kind === 'deletion') deleted.add(event.session);
    if (event.kind === 'wipe') break;
    if (event.kind !== 'turn' || event.reply === undefined || turns.has(event.session)) continue;
    const { node, turn } = event.reply;
    const more = left.get(node) ?? MARKS_PER_NODE;
    left.set(node, more - 1);
    if (more > 0) turns.set(event.session, turn);
  }
  return { turns, deleted };
}

/** All that was acknowledged and must still be somewhere. */
export function allMarksOf(history: History): Marks {
  const turns = new Map<string, number>();
  const deleted = new Set<string>();
  const wipes = history.filter((event) => event.kind === 'wipe');
  for (const event of history) {
    if (event.kind === 'deletion') deleted.add(event.session);
    if (event.kind !== 'turn' || event.reply === undefined) continue;
    const { reply, session } = event;
    if (!wipes.some((wipe) => mayTake(wipe, reply))) turns.set(session, Math.max(reply.turn, turns.get(session) ?? 0));
  }
  return { turns, deleted };
}

/** Waits until every node holds as many turns as it must; resolves with how long that took, or with what is missing. */
export async function caughtUp(
  nodes: readonly ClusterNode[],
  marks: () => Marks,
): Promise<{ readonly tookMs: number; readonly violations: readonly Violation[] }> {
  const beganMs = performance.now();
  const { turns, deleted } = marks();
  for (const session of deleted) turns.delete(session);
  const missing = await Promise.all(nodes.map((node) => untilHeld(node, turns, () => marks().deleted)));
  const violations = missing.flat().map((what): Violation => ({ rule: 'not caught up', what }));
  return { tookMs: Math.round(performance.now() - beganMs), violations };
}

async function untilHeld(
  node: ClusterNode,
  turns: ReadonlyMap<string, number>,
  deleted: () => ReadonlySet<string>,
): Promise<string[]> {
  const endMs = performance.now() + CATCH_UP_WAIT_MS;
  const found: string[] = [];
  const left = turns.entries();
  const publisher = async () => {
    for (const [session, turn] of left) {
      for (;;) {
        const held = await turnsHeld(node, session);
        if ((held ?? 0) >= turn || deleted().has(session)) break;
        if (performance.now() > endMs) {
          found.push(`${node.id} holds ${held ?? 'an unknown number of'} turns of session ${session}, not ${turn}`);
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, publisher));
  return found;
}

async function turnsHeld(node: ClusterNode, session: string): Promise<number | undefined> {
  const answer = await node.ask(`/sessions/${session}?user_id=${userOf(session)}`);
  if (answer?.status === 404 || answer?.status === 410) return 0;
  return answer?.status === 200 ? (answer.body.turns.at(-1)?.turn ?? 0) : undefined;
}

/** Sessions are named after the client that they belong to. */
export function userOf(session: string): string {
  return session.slice(0, session.lastIndexOf('-'));
}

/** What a node shows of a session, as far as it can be compared with what another one shows. */
async function viewOf(node: ClusterNode, session: string): Promise<string> {
  const answer = await node.ask(`/sessions/${session}?user_id=${userOf(session)}`);
  if (answer === undefined) return 'no answer';
  if (answer.status !== 200) return answer.status === 404 || answer.status === 410 ? 'gone' : `status ${answer.status}`;
  const ids = (turns: readonly { context_id: string }[]) => turns.map(({ context_id }) => context_id).join();
  return `${ids(answer.body.turns)} ${ids(answer.body.branches)}`;
}

/** Waits until all nodes show the same; nobody may write meanwhile. */
export async function becameEqual(nodes: readonly ClusterNode[], sessions: Iterable<string>): Promise<Violation[]> {
  const endMs = performance.now() + CATCH_UP_WAIT_MS;
  const violations: Violation[] = [];
  for (const session of sessions) {
    for (;;) {
      const views = await Promise.all(nodes.map((node) => viewOf(node, session)));
      if (new Set(views).size === 1) break;
      if (performance.now() > endMs) {
        const sides = nodes.map(({ id }, i) => `${id}: ${views[i]?.slice(0, 80)}`).join('; ');
        violations.push({ rule: 'replicas differ', what: `session ${session}, when all is at rest: ${sides}` });
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }
  return violations;
}

import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { type Hello, type HelloReply, LOGS_MAX } from './peer-protocol.ts';

/**
 * What a node that greets is told of the logs here: the current ones first, then those of earlier disks and of nodes that
 * have left, for as long as there is a record of them.
 */
export async function toldLogs(
  replica: ReplicaStore,
  isCurrent: (log: OriginLog) => boolean,
): Promise<Required<Pick<HelloReply, 'logs' | 'logsLeftOut'>>> {
  const states = (await replica.logs()).map(({ log, last, evictedThrough }) => ({
    log,
    last,
    ...(evictedThrough > 0 && { evictedThrough }),
  }));
  const current = states.filter(({ log }) => isCurrent(log));
  const others = await filtered(states, async ({ log }) => !isCurrent(log) && (await isLeft(replica, log)));
  const all = [...current, ...others];
  return { logs: all.slice(0, LOGS_MAX), logsLeftOut: Math.max(0, all.length - LOGS_MAX) };
}

/** What the node that writes a log is told of it. */
export function toldCursor(replica: ReplicaStore, log: OriginLog): Hello['cursors'][number] {
  const evictedThrough = replica.evictedThrough(log);
  return { log, sequence: replica.cursor(log).sequence, ...(evictedThrough > 0 && { evictedThrough }) };
}

/** Forgets the logs of which nothing is left, and which nobody goes on with. */
export async function forgetEndedLogs(replica: ReplicaStore, isCurrent: (log: OriginLog) => boolean): Promise<void> {
  const known = await replica.logs();
  const ended = await filtered(known, async ({ log }) => !isCurrent(log) && !(await isLeft(replica, log)));
  if (ended.length > 0) await replica.forgetLogs(ended.map(({ log }) => log));
}

async function isLeft(replica: ReplicaStore, log: OriginLog): Promise<boolean> {
  return (await replica.readLog(log, { after: 0, limit: 1 })).length > 0;
}

async function filtered<T>(all: readonly T[], holds: (one: T) => Promise<boolean>): Promise<T[]> {
  const held = await Promise.all(all.map(holds));
  return all.filter((_, index) => held[index]);
}

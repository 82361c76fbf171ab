import type { OriginLog } from '../../lmdb/origin-log.ts';
import type { ReplicaStore } from '../../lmdb/replica.ts';
import { type HelloReply, LOGS_MAX } from './peer-protocol.ts';

/**
 * What a node that greets is told of the logs here: the current ones first, then those of earlier disks and of nodes that
 * have left, for as long as there is a record of them.
 */
export function toldLogs(
  replica: ReplicaStore,
  isCurrent: (log: OriginLog) => boolean,
): Required<Pick<HelloReply, 'logs' | 'logsLeftOut'>> {
  const states = replica.logs().map(({ log, last }) => ({ log, last }));
  const current = states.filter(({ log }) => isCurrent(log));
  const others = states.filter(({ log }) => !isCurrent(log) && isLeft(replica, log));
  const all = [...current, ...others];
  return { logs: all.slice(0, LOGS_MAX), logsLeftOut: Math.max(0, all.length - LOGS_MAX) };
}

/** Forgets the logs of which nothing is left, and which nobody goes on with. */
export async function forgetEndedLogs(replica: ReplicaStore, isCurrent: (log: OriginLog) => boolean): Promise<void> {
  const ended = replica.logs().filter(({ log }) => !isCurrent(log) && !isLeft(replica, log));
  if (ended.length > 0) await replica.forgetLogs(ended.map(({ log }) => log));
}

function isLeft(replica: ReplicaStore, log: OriginLog): boolean {
  return replica.readLog(log, { after: 0, limit: 1 }).length > 0;
}

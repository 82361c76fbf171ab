import { cpus } from 'node:os';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { rounded } from '../statistics.ts';
import { roam } from './roaming-clients.ts';
import { RoamingNodes } from './roaming-nodes.ts';
import { type RoamingRow, roamingRow } from './roaming-row.ts';
import type { RoamingPolicy, RoamingWorkload } from './roaming-workload.ts';

/** Clients that go the same ways, say little and do not pause: movement is learned from where turns are taken. */
const LEARNING = { sessions: 1, turns: [12, 12], openingIds: [8, 8], thinkMs: [0, 0] } as const;

export interface MeasuredRoaming extends RoamingRow {
  readonly movement: string;
  readonly policy: RoamingPolicy;
  readonly seconds: number;
  /** Of the machine's processors, by whatever ran on it meanwhile. */
  readonly processorsBusy: number;
}

/** What a policy comes to with real nodes, after turns that are not counted, from which they learn how clients move. */
export async function measureRoaming(
  workload: RoamingWorkload,
  policy: RoamingPolicy,
  { roomSessions }: { readonly roomSessions: number },
): Promise<MeasuredRoaming> {
  const { movement, openingIds, seed } = workload;
  const folder = temporaryFolder();
  const meanIds = Math.round((openingIds[0] + openingIds[1]) / 2);
  const nodes = await RoamingNodes.start(folder.path, { movement, policy, roomSessions, meanIds });
  try {
    await roam(nodes, { ...workload, ...LEARNING, seed: seed + 1 }, policy);
    const [before, startedMs, busyBefore] = [await nodes.warmed(), performance.now(), busyMs()];
    const taken = await roam(nodes, workload, policy);
    const elapsedMs = performance.now() - startedMs;
    const processorsBusy = rounded((busyMs() - busyBefore) / elapsedMs, 2);
    const after = await nodes.warmed();
    const warmed = { warmedIds: after.warmedIds - before.warmedIds, usedIds: after.usedIds - before.usedIds };
    const seconds = Math.round(elapsedMs / 1000);
    return { movement, policy, ...roamingRow(taken, warmed), seconds, processorsBusy };
  } finally {
    await nodes.stop();
    folder.remove();
  }
}

/** Since the machine's start, of all its processors together. */
function busyMs(): number {
  return cpus().reduce((total, { times }) => total + times.user + times.nice + times.sys + times.irq, 0);
}

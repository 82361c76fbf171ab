import { startNodeProcess } from '../../../tools/node-process.ts';
import { residentMiB } from '../../../tools/resident-memory.ts';
import { rounded } from '../statistics.ts';
import { loadWithTurns } from '../turn-load.ts';

/** Memory of a node as a user starts it, from its start to 100,000 sessions, or as many as there was time for. */
export interface ManySessions {
  readonly rssStartMiB: number;
  /** After so many sessions of one turn each. */
  readonly rssMiB: ReadonlyArray<{ readonly sessions: number; readonly mib: number }>;
  readonly cacheMiB: number;
}

const STEPS = [1_000, 25_000, 50_000, 100_000];
const CLIENTS = 64;
/** The scripted LLM Service takes longer over a longer reply. */
const REPLY_TOKENS = 8;
const ELAPSED_MS_MAX = 150_000;

/** `cacheMiB`: the setting that bounds the contexts in memory. */
export async function manySessions(dataDir: string, cacheMiB: number): Promise<ManySessions> {
  const node = await startNodeProcess([
    ...['--llm', 'scripted', '--data-dir', dataDir, '--store-bytes-max', '16GiB'],
    ...['--context-cache-bytes', `${cacheMiB}MiB`],
  ]);
  try {
    const port = Number(new URL(node.url).port);
    const rssStartMiB = rssMiB(node.process.pid);
    const rss: { sessions: number; mib: number }[] = [];
    let sessions = 0;
    let leftMs = ELAPSED_MS_MAX;
    for (const step of STEPS) {
      const until = { turns: step - sessions, elapsedMs: leftMs, turnsASession: 1, replyTokens: REPLY_TOKENS };
      const { turnMs, elapsedMs } = await loadWithTurns(port, CLIENTS, until);
      sessions += turnMs.length;
      leftMs -= elapsedMs;
      rss.push({ sessions, mib: rssMiB(node.process.pid) });
      if (leftMs <= 0) break;
    }
    return { rssStartMiB, rssMiB: rss, cacheMiB };
  } finally {
    await node.process.stop();
  }
}

function rssMiB(pid: number): number {
  return rounded(residentMiB(pid), 1);
}

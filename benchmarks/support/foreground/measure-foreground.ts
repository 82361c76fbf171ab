import { setTimeout as pause } from 'node:timers/promises';
import { DiscedgeClient } from '../../../src/client/client.ts';
import { Chance } from '../../../tools/chance.ts';
import { type NodeProcess, temporaryFolder } from '../../../tools/node-process.ts';
import { SharingNodes } from '../handover/sharing-nodes.ts';
import { textOfIds } from '../handover/text-of-ids.ts';
import { timedTurn } from '../handover/timed-turn.ts';
import type { ForegroundTurn, Slice } from './foreground-rows.ts';

export interface ForegroundOptions {
  /** Of the nodes' LLM Service. */
  readonly llmFlags: readonly string[];
  readonly seconds: number;
  readonly residents: number;
  /** Of all sessions, before the turns that are measured. */
  readonly contextIds: number;
  /** Mean pause of a resident between turns; of a visitor, who comes with a session of its own each time. */
  readonly thinkMs: number;
  readonly visitEveryMs: number;
  /** Of a resident's turn. */
  readonly replyTokens: number;
  readonly seed: number;
}

export interface Foreground {
  readonly turns: readonly ForegroundTurn[];
  /** Of the sessions that came from elsewhere, by the node where the residents are. */
  readonly warmedIds: number;
  readonly preemptions: number;
}

const SLICE_MS = 10_000;
/** At the beginning of a slice, what the one before has left to do. */
const UNCOUNTED_MS = 2_000;
const QUESTION = 'Which of these words came first, and how many of them were there?';

/**
 * Turns of clients that stay at one node, while sessions of others come to it as records from another. The node warms for whom the client says that
 * it goes there, and these say so in every other slice: all else is the same, in one process.
 */
export async function measureForeground(options: ForegroundOptions): Promise<Foreground> {
  const folder = temporaryFolder();
  const nodes = new SharingNodes(folder.path);
  try {
    const there = await nodes.add('there', [...options.llmFlags, '--warming', 'off']);
    const here = await nodes.add('here', [...options.llmFlags, '--warming', 'hinted']);
    await nodes.connected();
    const before = await warmingOf(here);
    const startedMs = performance.now();
    const run: Run = { options, here, there, startedMs, endMs: startedMs + options.seconds * 1000 };
    const residents = Array.from({ length: options.residents }, (_, resident) => reside(run, resident));
    const [, ...turns] = await Promise.all([visit(run), ...residents]);
    const after = await warmingOf(here);
    return {
      turns: turns.flat(),
      warmedIds: after.tokens_warmed - before.tokens_warmed,
      preemptions: after.preemptions - before.preemptions,
    };
  } finally {
    await nodes.stop();
    folder.remove();
  }
}

interface Run {
  readonly options: ForegroundOptions;
  readonly here: NodeProcess;
  readonly there: NodeProcess;
  readonly startedMs: number;
  readonly endMs: number;
}

function sliceOf({ startedMs }: Run, atMs: number): { readonly slice: Slice; readonly sinceMs: number } {
  const runMs = atMs - startedMs;
  return { slice: Math.floor(runMs / SLICE_MS) % 2 === 0 ? 'off' : 'on', sinceMs: runMs % SLICE_MS };
}

/** One session after another as its context has doubled, so that turns cost alike all the time. */
async function reside(run: Run, resident: number): Promise<ForegroundTurn[]> {
  const { options, here, endMs } = run;
  const chance = new Chance(options.seed * 1_000 + resident);
  const client = new DiscedgeClient({ nodes: here.url });
  const turns: ForegroundTurn[] = [];
  for (let number = 1; performance.now() < endMs; number++) {
    const session = client.session({ turnOptions: { maxTokens: options.replyTokens, temperature: 0 } });
    const { reply } = await timedTurn(session, await textOfIds(here, options.contextIds, resident * 1_000 + number));
    let contextIds = reply.usage.cachedTokens + reply.usage.evaluatedTokens;
    while (contextIds < 1.5 * options.contextIds && performance.now() < endMs) {
      await pause(options.thinkMs / 2 + chance.below(options.thinkMs));
      const { slice, sinceMs } = sliceOf(run, performance.now());
      const { firstTextMs, wholeMs, reply } = await timedTurn(session, QUESTION);
      const { cachedTokens, evaluatedTokens, predictedTokens } = reply.usage;
      contextIds = cachedTokens + evaluatedTokens;
      if (sinceMs < UNCOUNTED_MS || predictedTokens < 2) continue;
      const idMs = (wholeMs - firstTextMs) / (predictedTokens - 1);
      turns.push({ slice, firstTextMs, wholeMs, idMs, evaluatedIds: evaluatedTokens });
    }
  }
  return turns;
}

/** Each with a session of its own, which nobody goes on with. */
async function visit(run: Run): Promise<ForegroundTurn[]> {
  const { options, there, endMs } = run;
  const client = new DiscedgeClient({ nodes: there.url });
  for (let number = 1; performance.now() < endMs; number++) {
    const nextMs = performance.now() + options.visitEveryMs;
    const { slice } = sliceOf(run, performance.now());
    const nextNodes = [slice === 'on' ? 'here' : 'there'];
    const text = await textOfIds(there, options.contextIds, 1_000_000 + number);
    await client.session({ turnOptions: { maxTokens: 1, temperature: 0, nextNodes } }).send(text);
    await pause(Math.max(0, nextMs - performance.now()));
  }
  return [];
}

async function warmingOf(node: NodeProcess): Promise<{ readonly tokens_warmed: number; readonly preemptions: number }> {
  return (await node.get('/nodes')).body.nodes[0].warming[0];
}

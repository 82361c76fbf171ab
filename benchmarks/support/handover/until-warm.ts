import { setTimeout as pause } from 'node:timers/promises';
import type { NodeProcess } from '../../../tools/node-process.ts';

const LOOK_EVERY_MS = 50;
/** Evaluating a few thousand ids takes a slow core a minute. */
const WAIT_MS = 600_000;

/** Resolves with what `act` does, once the node has warmed a context to its end since it began. */
export async function untilWarm<T>(node: NodeProcess, act: () => Promise<T>): Promise<T> {
  const before = await warmed(node);
  const done = await act();
  const deadlineMs = performance.now() + WAIT_MS;
  while ((await warmed(node)) === before) {
    if (performance.now() > deadlineMs) throw new Error(`the node has warmed nothing in ${WAIT_MS / 1000} s`);
    await pause(LOOK_EVERY_MS);
  }
  return done;
}

async function warmed(node: NodeProcess): Promise<number> {
  const { text } = await node.get('/metrics');
  const [, count = '0'] = /^discedge_warming_ended\{[^}]*end="warm"[^}]*\} (\d+)/m.exec(text) ?? [];
  return Number(count);
}

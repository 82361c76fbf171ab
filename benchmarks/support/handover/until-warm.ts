import { setTimeout as pause } from 'node:timers/promises';
import type { NodeProcess } from '../../../tools/node-process.ts';

const LOOK_EVERY_MS = 50;
/** Evaluating a few thousand ids takes a slow core a minute. */
const WAIT_MS = 600_000;

/** Resolves once the node has warmed a context to its end since `act` began: with what that did, and how long after it warming ended. */
export async function untilWarm<T>(
  node: NodeProcess,
  act: () => Promise<T>,
): Promise<{ readonly done: T; readonly warmedMs: number }> {
  const before = await warmed(node);
  const done = await act();
  const doneMs = performance.now();
  const deadlineMs = doneMs + WAIT_MS;
  while ((await warmed(node)) === before) {
    if (performance.now() > deadlineMs) throw new Error(`the node has warmed nothing in ${WAIT_MS / 1000} s`);
    await pause(LOOK_EVERY_MS);
  }
  return { done, warmedMs: performance.now() - doneMs };
}

async function warmed(node: NodeProcess): Promise<number> {
  const { text } = await node.get('/metrics');
  const [, count = '0'] = /^discedge_warming_ended\{[^}]*end="warm"[^}]*\} (\d+)/m.exec(text) ?? [];
  return Number(count);
}

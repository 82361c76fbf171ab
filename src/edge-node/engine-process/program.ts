// What an engine process runs: llama.cpp for one model, and nothing else. Started by launch-engine.ts, ended by kill -9.
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { nodeEnvironment } from '../../environment/node-environment.ts';
import { type EmbeddedOptions, startEmbedded } from '../../llm-service/embedded.ts';
import { batched } from '../../llm-service/engine-process/batched.ts';
import { hostEngine, sentLog } from '../../llm-service/engine-process/engine-host.ts';
import type { FromEngine, ToEngine } from '../../llm-service/engine-process/messages.ts';
import { sentError } from '../../llm-service/engine-process/sent-error.ts';

/** Between a node's 0 and the 1000 of what is always ended first. */
const OOM_SCORE = '500';

// Whoever stops a whole group of processes means the node; this one ends with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
// Not exit(): that waits for threads, and one may hang in llama.cpp.
const end = () => process.kill(process.pid, 'SIGKILL');
process.on('disconnect', end);
// The node may have ended while this file was loaded.
if (!process.connected) end();

// Where memory runs out, the kernel ends this process rather than the node, which has the sessions. Linux has the file.
await writeFile('/proc/self/oom_score_adj', OOM_SCORE).catch(() => {});

const send = batched((messages: readonly FromEngine[]) => void process.send?.(messages));
const [options] = (await once(process, 'message')) as [EmbeddedOptions];
const environment = { ...nodeEnvironment({ logLevel: 'silent', nodeId: '' }), logger: sentLog(send) };
try {
  const service = await startEmbedded({ ...options, onStuck: () => send({ kind: 'stuck' }) }, environment);
  const onMessage = hostEngine(service, send);
  process.on('message', (message) => onMessage(message as ToEngine));
  send({ kind: 'started', description: service.description, slots: service.slots().length });
} catch (error) {
  send({ kind: 'not-started', error: sentError(error) });
}

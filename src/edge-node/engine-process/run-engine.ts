import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { Environment } from '../../environment/environment.ts';
import { nodeEnvironment } from '../../environment/node-environment.ts';
import { batched } from '../../llm-service/engine-process/batched.ts';
import { announce, hostEngine, sentLog } from '../../llm-service/engine-process/engine-host.ts';
import type { FromEngine, ToEngine } from '../../llm-service/engine-process/messages.ts';
import { sentError } from '../../llm-service/engine-process/sent-error.ts';
import type { KeptStateStatus, LlmService } from '../../llm-service/llm-service.ts';

/** Between a node's 0 and the 1000 of what is always ended first. */
const OOM_SCORE = '500';

/** What the node hears of a service unasked. */
export interface EngineTold {
  readonly onStuck: () => void;
  readonly onKept: (status: KeptStateStatus) => void;
}

/**
 * What a program does that launch-engine.ts starts: it runs the service that `start` makes of the options that come first, for
 * the node alone, until the node ends it with kill -9, or ends itself.
 */
export async function runEngine<Options>(
  start: (options: Options, environment: Environment, told: EngineTold) => Promise<LlmService>,
): Promise<void> {
  // Whoever stops a whole group of processes means the node; this one ends with it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  // Not exit(): that waits for threads, and one may hang in llama.cpp.
  const end = () => process.kill(process.pid, 'SIGKILL');
  process.on('disconnect', end);
  // The node may have ended while the program was loaded.
  if (!process.connected) end();

  // Where memory runs out, the kernel ends this process rather than the node, which has the sessions. Linux has the file.
  await writeFile('/proc/self/oom_score_adj', OOM_SCORE).catch(() => {});

  const send = batched((messages: readonly FromEngine[]) => void process.send?.(messages));
  const [options] = (await once(process, 'message')) as [Options];
  const environment = { ...nodeEnvironment({ logLevel: 'silent', nodeId: '' }), logger: sentLog(send) };
  try {
    const service = await start(options, environment, {
      onStuck: () => send({ kind: 'stuck' }),
      onKept: (status) => send({ kind: 'kept', status }),
    });
    const onMessage = hostEngine(service, send, end);
    process.on('message', (message) => onMessage(message as ToEngine));
    announce(service, send);
  } catch (error) {
    send({ kind: 'not-started', error: sentError(error) });
  }
}

import { once } from 'node:events';
import { batched } from '../../src/llm-service/engine-process/batched.ts';
import { hostEngine } from '../../src/llm-service/engine-process/engine-host.ts';
import type { FromEngine, ToEngine } from '../../src/llm-service/engine-process/messages.ts';
import { fastLlm } from './fast-llm.ts';

process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
const send = batched((messages: readonly FromEngine[]) => void process.send?.(messages));
await once(process, 'message');
const service = fastLlm();
const onMessage = hostEngine(service, send);
process.on('message', (message) => onMessage(message as ToEngine));
send({ kind: 'started', description: service.description, slots: service.slots().length });

import type { TokenId } from '../../domain/token-sequence.ts';
import type { Logger } from '../../environment/environment.ts';
import type { LlmService } from '../llm-service.ts';
import type { AnswerValue, FromEngine, SentRequest, ToEngine } from './messages.ts';
import { sentError } from './sent-error.ts';

/** The engine process's end: answers what the node asks with a service that lives here. Returns what takes messages. */
export function hostEngine(service: LlmService, send: (message: FromEngine) => void): (message: ToEngine) => void {
  const running = new Map<number, AbortController>();
  const answer = (call: number, result: Promise<AnswerValue>) =>
    result.then(
      (value) => send({ kind: 'answer', call, value }),
      (error: unknown) => send({ kind: 'refused', call, error: sentError(error) }),
    );
  const generate = async (call: number, request: SentRequest): Promise<undefined> => {
    const abort = new AbortController();
    running.set(call, abort);
    try {
      const prompt = Array.from(request.prompt) as TokenId[];
      for await (const event of service.generate({ ...request, prompt }, abort.signal)) {
        send({ kind: 'event', call, event });
      }
    } finally {
      running.delete(call);
    }
  };
  return (message) => {
    switch (message.kind) {
      case 'tokenize':
        return void answer(
          message.call,
          service.tokenize(...message.args).then((ids) => Int32Array.from(ids)),
        );
      case 'detokenize':
        return void answer(message.call, service.detokenize(...message.args));
      case 'pieces':
        return void answer(message.call, service.pieces(...message.args));
      case 'ready':
        return void answer(
          message.call,
          service.ready().then(() => undefined),
        );
      case 'generate':
        return void answer(message.call, generate(message.call, message.request));
      case 'abort':
        return running.get(message.call)?.abort();
      case 'forget':
        service.keptStates?.forget(message.affinity);
    }
  };
}

/** Tells the node what has been started, and what of sessions it has kept from before. */
export function announce(service: LlmService, send: (message: FromEngine) => void): void {
  send({ kind: 'started', description: service.description, slots: service.slots().length });
  if (service.keptStates === undefined) return;
  send({ kind: 'kept', status: service.keptStates.status() });
  service.keptStates.onFound((affinities) => send({ kind: 'found', affinities }));
}

/** A log whose lines the node writes. */
export function sentLog(send: (message: FromEngine) => void): Logger {
  const line =
    (level: keyof Logger): Logger[typeof level] =>
    (event: string, fields?: Parameters<Logger['error']>[1], error?: unknown) =>
      send({ kind: 'log', level, event, fields, error: error === undefined ? undefined : sentError(error) });
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

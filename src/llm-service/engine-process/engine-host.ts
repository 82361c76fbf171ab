import type { TokenId } from '../../domain/token-sequence.ts';
import type { Logger } from '../../environment/environment.ts';
import type { GenerationRequest, LlmService, WarmOutcome, WarmRequest } from '../llm-service.ts';
import type { AnswerValue, FromEngine, SentIds, ToEngine } from './messages.ts';
import { sentError } from './sent-error.ts';

/**
 * The engine process's end: answers what the node asks with a service that lives here. Returns what takes messages. `onClosed`:
 * the service has been closed, as the node wished.
 */
export function hostEngine(
  service: LlmService,
  send: (message: FromEngine) => void,
  onClosed: () => void = () => {},
): (message: ToEngine) => void {
  const running = new Map<number, AbortController>();
  const answer = (call: number, result: Promise<AnswerValue>) =>
    result.then(
      (value) => send({ kind: 'answer', call, value }),
      (error: unknown) => send({ kind: 'refused', call, error: sentError(error) }),
    );
  const abortable = async <T>(call: number, task: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const abort = new AbortController();
    running.set(call, abort);
    try {
      return await task(abort.signal);
    } finally {
      running.delete(call);
      tellWarming(service, send);
    }
  };
  const generate = (call: number, request: SentIds<GenerationRequest>): Promise<undefined> =>
    abortable(call, async (signal) => {
      for await (const event of service.generate(received(request), signal)) send({ kind: 'event', call, event });
      return undefined;
    });
  const warm = (call: number, request: SentIds<WarmRequest>): Promise<WarmOutcome> =>
    abortable(call, async (signal) => (await service.warming?.warm(received(request), signal)) ?? NOT_KEPT);
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
      case 'warm':
        return void answer(message.call, warm(message.call, message.request));
      case 'abort':
        return running.get(message.call)?.abort();
      case 'forget':
        (service.warming ?? service.keptStates)?.forget(message.affinity);
        return tellWarming(service, send);
      case 'forget-all':
        return void answer(message.call, forgetAll(service, message.part)).then(() => tellWarming(service, send));
      case 'drop-warm':
        service.warming?.dropWarm(message.affinity);
        return tellWarming(service, send);
      case 'expect':
        return service.warming?.expect(message.affinity, message.chance);
      case 'close':
        void service.close().finally(onClosed);
    }
  };
}

async function forgetAll({ warming }: LlmService, part: string): Promise<undefined> {
  await warming?.forgetAll(part);
  return undefined;
}

const NOT_KEPT: WarmOutcome = { end: 'not_kept', cachedTokens: 0, restoredTokens: 0, evaluatedTokens: 0 };

function received<Request extends { readonly prompt: Int32Array }>(request: Request) {
  return { ...request, prompt: Array.from(request.prompt) as TokenId[] };
}

function tellWarming({ warming }: LlmService, send: (message: FromEngine) => void): void {
  if (warming !== undefined) send({ kind: 'warming', status: warming.status(), speed: warming.speed() });
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

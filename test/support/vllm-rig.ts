import { expect } from 'vitest';
import type { DiscedgeError, ErrorCode } from '../../src/domain/errors.ts';
import type { GenerationEnd, GenerationRequest, LlmService } from '../../src/llm-service/llm-service.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';
import { connectVllm, type VllmOptions } from '../../src/llm-service/vllm.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';
import { startVllmDouble, type VllmDouble, type VllmDoubleOptions } from '../../tools/vllm-double/vllm-double.ts';

export const IDLE_MS = 30_000;
export const SECRET = 'k-3fd0';
export const GENERATE = 'inference/v1/generate';

/** Doubles of vLLM before the scripted engine, services in front of them, and a clock that stands still. */
export class VllmRig {
  readonly environment = virtualEnvironment();
  readonly #opened: (() => Promise<unknown>)[] = [];

  async startDouble(options: Partial<VllmDoubleOptions> & { contextTokens?: number } = {}): Promise<VllmDouble> {
    const { contextTokens = 1024, ...rest } = options;
    const engine = startScripted({ modelName: 'demo', contextTokens }, virtualEnvironment());
    const double = await startVllmDouble({ engine, apiKey: SECRET, ...rest });
    this.closeLater(() => double.stop());
    return double;
  }

  async connect(double: Pick<VllmDouble, 'url'>, options: Partial<VllmOptions> = {}): Promise<LlmService> {
    const times = { connectTimeoutMs: 2_000, idleTimeoutMs: IDLE_MS };
    const service = await connectVllm({ url: double.url, apiKey: SECRET, ...times, ...options }, this.environment);
    this.closeLater(() => service.close());
    return service;
  }

  closeLater(close: () => Promise<unknown>): void {
    this.#opened.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#opened.splice(0).reverse()) await close();
  }
}

export async function generate(
  service: LlmService,
  fields: Partial<GenerationRequest> = {},
  signal = new AbortController().signal,
): Promise<GenerationEnd> {
  const prompt = await service.tokenize('<|im_start|>user\nHello', { parseSpecial: true });
  const request = { prompt, maxTokens: 8, stop: [], sampling: {}, affinity: undefined, stream: true, ...fields };
  for await (const event of service.generate(request, signal)) if (event.kind === 'end') return event;
  throw new Error('no end');
}

export async function errorOf(promise: Promise<unknown>): Promise<DiscedgeError> {
  return promise.then(
    () => expect.unreachable(),
    (error: unknown) => error as DiscedgeError,
  );
}

export async function expectError(code: ErrorCode, message: RegExp, promise: Promise<unknown>): Promise<void> {
  const error = await errorOf(promise);
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  expect(error.message).not.toContain('Hello');
}

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { DiscedgeError } from '../../src/domain/errors.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import { answerGeneration, type GenerationApi } from './generation-routes.ts';
import { PrefixCache } from './prefix-cache.ts';
import { tokenizeReply, tokenizerInfo } from './tokenizer-routes.ts';

/** One request as the double saw it. */
export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Readonly<Record<string, unknown>>;
}

/** Answers in place of the double's own; `usual` goes on with that. */
export type Answer = (request: SeenRequest, response: ServerResponse, usual: () => Promise<void>) => unknown;

export interface VllmDoubleOptions {
  /** Tokenizes and writes; closed with the double. */
  readonly engine: LlmService;
  /** `--served-model-name`. */
  readonly model?: string;
  /** `--enable-scale-out`; on by default, as are the others. */
  readonly scaleOut?: boolean;
  /** `--enable-prompt-tokens-details`. */
  readonly tellsCached?: boolean;
  /** `--enable-tokenizer-info-endpoint`. */
  readonly tellsTokenizer?: boolean;
  readonly apiKey?: string;
  /** A free one by default; give the port of a stopped double to come back at the same address. */
  readonly port?: number;
}

export interface VllmDouble {
  readonly url: string;
  readonly port: number;
  /** What it was asked, in order. */
  readonly seen: readonly SeenRequest[];
  /** By path without the leading slash; assign to misbehave. */
  readonly answers: Record<string, Answer>;
  stop(): Promise<void>;
}

/**
 * Speaks vLLM 0.32's HTTP in front of any LLM Service: tokens in and out over both of its APIs, a tokenizer that reads control tokens
 * in every text, a prefix cache in blocks that the salt keeps apart, and its errors.
 */
export async function startVllmDouble(options: VllmDoubleOptions): Promise<VllmDouble> {
  const { engine, model = 'demo', scaleOut = true, tellsCached = true, tellsTokenizer = true, apiKey } = options;
  const answers: Record<string, Answer> = {};
  const seen: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  const routes = { engine, model, cache: new PrefixCache(), tellsCached };
  const { contextTokens } = engine.description;
  const card = { id: model, object: 'model', created: 0, owned_by: 'vllm', root: `/models/${model}`, parent: null };
  const generation = (api: GenerationApi) => (request: SeenRequest, response: ServerResponse) =>
    answerGeneration(api, request.body, { response, routes });
  const usualAnswers: Record<string, (request: SeenRequest, response: ServerResponse) => Promise<void>> = {
    health: async (_, response) => void response.writeHead(200).end(),
    version: async (_, response) => json(response, { version: '0.32.0' }),
    'v1/models': async (_, response) =>
      json(response, { object: 'list', data: [{ ...card, max_model_len: contextTokens }] }),
    tokenize: async ({ body }, response) => json(response, await tokenizeReply(engine, body)),
    detokenize: async ({ body }, response) =>
      json(response, { prompt: await engine.detokenize(body.tokens as never, { special: true }) }),
    'v1/completions': generation('completions'),
    'inference/v1/generate': scaleOut
      ? generation('generate')
      : async (_, response) => refuse(response, { status: 403, message: 'start the server with --enable-scale-out' }),
    ...(tellsTokenizer && { tokenizer_info: async (_, response) => json(response, await tokenizerInfo(engine)) }),
  };
  const answerUsual = async (request: SeenRequest, response: ServerResponse) => {
    const usual = usualAnswers[request.path];
    const asked = request.body.model;
    if (usual === undefined) return json(response, { detail: 'Not Found' }, 404);
    if (apiKey !== undefined && request.headers.authorization !== `Bearer ${apiKey}`)
      return json(response, { error: 'Unauthorized' }, 401);
    if (asked !== undefined && asked !== model) {
      const message = `The model \`${asked}\` does not exist. Valid aliases: ${model}.`;
      return refuse(response, { status: 404, message, type: 'NotFoundError', param: 'model' });
    }
    return usual(request, response).catch((error: unknown) => refuseFor(error, response));
  };
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const path = (incoming.url ?? '').slice(1);
    const request = { path, headers: incoming.headers, body: text === '' ? {} : JSON.parse(text) };
    seen.push(request);
    const usual = () => answerUsual(request, response);
    const answer = answers[path];
    await (answer === undefined ? usual() : answer(request, response, usual));
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...{ url: `http://127.0.0.1:${port}`, port, seen, answers },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await engine.close();
    },
  };
}

export function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

export function refuse(
  response: ServerResponse,
  {
    status,
    message,
    type = 'BadRequestError',
    param = null,
  }: { status: number; message: string; type?: string; param?: string | null },
): void {
  json(response, { error: { message, type, param, code: status } }, status);
}

/** What the engine refuses, as vLLM says it. */
function refuseFor(error: unknown, response: ServerResponse): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const code = error instanceof DiscedgeError ? error.code : 'llm_unavailable';
  if (code === 'context_overflow')
    refuse(response, { status: 400, message: "This model's maximum context length is exceeded." });
  else if (code === 'invalid_request') refuse(response, { status: 400, message: (error as Error).message });
  else refuse(response, { status: 500, message: 'EngineCore encountered an issue.', type: 'InternalServerError' });
}

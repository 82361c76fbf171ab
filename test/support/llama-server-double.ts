import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** One request at a time as the double saw it. */
export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown>;
  /** Resolves when the other side has closed the socket, or this side has. */
  readonly closed: Promise<void>;
}

export type Answer = (request: SeenRequest, response: ServerResponse) => void;

export interface LlamaServerDouble {
  readonly url: string;
  readonly port: number;
  /** Connections that were made to it so far. */
  readonly connections: number;
  /** What it answers, by path without the leading slash; assign to misbehave. */
  readonly answers: Record<string, Answer>;
  /** The next request for this path. */
  next(path: string): Promise<SeenRequest>;
  stop(): Promise<void>;
}

/** Ids are bytes, 256 and up are control tokens. */
export const DOUBLE_VOCABULARY = 300;
export const DOUBLE_END = 257;
export const DOUBLE_CONTEXT_TOKENS = 64;

/**
 * Answers like a llama-server with a model whose ids are bytes, and misbehaves on demand, as a real one will not.
 * Takes a port of its own; give the port of a stopped one to come back at the same address.
 */
export async function startLlamaServerDouble(options: { port?: number } = {}): Promise<LlamaServerDouble> {
  const answers: Record<string, Answer> = { ...USUAL_ANSWERS };
  const waiting = new Map<string, (request: SeenRequest) => void>();
  const sockets = new Set<Socket>();
  const server = createServer(async (incoming, response) => {
    const path = (incoming.url ?? '').slice(1);
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    const request = { path, headers: incoming.headers, body: text === '' ? {} : JSON.parse(text), closed };
    const answer = answers[path] ?? ((_, to) => to.writeHead(404).end('no such page'));
    answer(request, response);
    waiting.get(path)?.(request);
    waiting.delete(path);
  });
  let connections = 0;
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    get connections() {
      return connections;
    },
    answers,
    next: (path) => new Promise((resolve) => waiting.set(path, resolve)),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

export const json =
  (value: unknown, status = 200): Answer =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };

/** Server-sent events; the stream stays open unless `end` is set. */
export const events =
  (values: readonly unknown[], { end = true } = {}): Answer =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const value of values) response.write(`data: ${JSON.stringify(value)}\n\n`);
    if (end) response.end();
  };

export const chunk = (content: string, ids: readonly number[], predicted: number, fields: object = {}) => ({
  index: 0,
  content,
  tokens: ids,
  tokens_predicted: predicted,
  stop: false,
  ...fields,
});

export const final = (promptTokens: number, predicted: number, fields: object = {}) => ({
  ...chunk('', [], predicted),
  stop: true,
  stop_type: 'eos',
  stopping_word: '',
  tokens_evaluated: promptTokens,
  truncated: false,
  id_slot: 0,
  model: 'double',
  timings: { cache_n: 0, prompt_n: promptTokens, prompt_ms: 1, predicted_ms: 1 },
  ...fields,
});

/** A reply of "ok" and the end token, in one piece or streamed. */
export const ok: Answer = (request, response) => {
  const promptTokens = (request.body.prompt as unknown[]).length;
  const ids = [...Buffer.from('ok'), DOUBLE_END];
  const answer = request.body.stream
    ? events([chunk('o', [111], 1), chunk('k', [107], 2), chunk('', [DOUBLE_END], 3), final(promptTokens, 3)])
    : json(final(promptTokens, 3, { content: 'ok', tokens: ids }));
  answer(request, response);
};

const USUAL_ANSWERS: Record<string, Answer> = {
  health: json({ status: 'ok' }),
  props: json({
    total_slots: 2,
    default_generation_settings: { n_ctx: DOUBLE_CONTEXT_TOKENS },
    model_alias: 'double',
    chat_template: 'a template',
    bos_token: '',
    eos_token: '<|im_end|>',
  }),
  'v1/models': json({ data: [{ id: 'double', meta: { n_vocab: DOUBLE_VOCABULARY } }] }),
  tokenize({ body }, response) {
    const { content, parse_special: parseSpecial } = body as { content: string; parse_special: boolean };
    const tokens = parseSpecial && content === '<|im_end|>' ? [DOUBLE_END] : [...Buffer.from(content)];
    json({ tokens })({} as SeenRequest, response);
  },
  detokenize({ body }, response) {
    json({ content: Buffer.from(body.tokens as number[]).toString() })({} as SeenRequest, response);
  },
  completion: ok,
};

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../src/config/config.ts';
import { type EdgeNode, startEdgeNode } from '../src/edge-node/edge-node.ts';
import type { Engines } from '../src/edge-node/models/engines.ts';

/** What `/completion` and its errors carry, loosely: tests look at what they mean to check. */
// biome-ignore lint/suspicious/noExplicitAny: JSON of another process, checked by the assertions
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** `undefined` when the body is not JSON. */
  readonly body: Json;
}

/** The HTTP API of a node, wherever it runs. */
export class NodeUnderTest {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async request(
    method: string,
    path: string,
    init: { body?: string | Uint8Array; headers?: Record<string, string>; signal?: AbortSignal } = {},
  ): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, { method, ...init } as RequestInit);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: jsonOf(text) };
  }

  get(path: string): Promise<Answer> {
    return this.request('GET', path);
  }

  post(path: string, body: unknown, signal?: AbortSignal): Promise<Answer> {
    const init = { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    return this.request('POST', path, signal === undefined ? init : { ...init, signal });
  }

  put(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request('PUT', path, {
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
  }

  /** One turn that must succeed. Streams when the body says so, and then `content` is the parts joined. */
  async turn(body: Record<string, unknown>): Promise<Json> {
    const answer = await this.post('/completion', body);
    if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.text}`);
    if (body.stream !== true) return answer.body;
    const events = eventsOf(answer.text);
    const last = events.at(-1);
    if (last?.stop !== true) throw new Error(`the stream ended with ${JSON.stringify(last)}`);
    return { ...last, content: events.map((event) => event.content ?? '').join('') };
  }
}

export interface InProcessNode extends NodeUnderTest {
  readonly node: EdgeNode;
  close(): Promise<void>;
}

/** Keys that a developer has made in the working folder would be asked for. */
export const NO_KEYS = join(tmpdir(), 'discedge-tests-have-no-keys');

/** An edge node in this process on a free port: scripted LLM and memory store unless told otherwise. */
export async function startTestNode(
  flags: Record<string, unknown> = {},
  options: { readonly engines?: Engines } = {},
): Promise<InProcessNode> {
  const config = loadConfig({
    flags: {
      ...{ llm: 'scripted', store: 'memory', listen: '127.0.0.1:0', nodeId: 'test', logLevel: 'silent' },
      ...{ keysDir: NO_KEYS, ...flags },
    },
    env: {},
  });
  const node = await startEdgeNode(config, options);
  return Object.assign(new NodeUnderTest(node.address.url), { node, close: () => node.close() });
}

/** The data of each server-sent event, parsed. */
export function eventsOf(stream: string): Json[] {
  return stream
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => JSON.parse(event.slice('data: '.length)));
}

function jsonOf(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

import type { InstantLlm } from '../support/instant-llm/instant-llm.ts';

/** Something that keeps a conversation's history in front of an LLM. */
export interface Peer {
  readonly name: string;
  readonly version: string;
  /** How a client says its turns to it. */
  readonly speech: Speech;
  /** Starts it on loopback in front of `llm`, with what it keeps in `folder`. `env` is added to its environment. */
  start(place: PeerPlace): Promise<RunningPeer>;
}

export interface PeerPlace {
  readonly llm: InstantLlm;
  readonly folder: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface RunningPeer {
  readonly pid: number;
  readonly port: number;
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

/** How turns are said over HTTP. A conversation is a value: the same one twice makes the same request twice. */
export interface Speech {
  readonly path: string;
  /** The path that it asks the LLM at. */
  readonly llmPath: string;
  open(name: string): Conversation;
}

export interface Conversation {
  /** The request's body. */
  ask(text: string): string;
  /** The conversation once this reply has come. */
  after(reply: string): Conversation;
}

/** llama-server's `/completion` with a session and a turn, as an edge node takes it. */
export const SESSION_SPEECH: Speech = {
  path: '/completion',
  llmPath: '/completion',
  open: (name) => session(name, 1),
};

function session(name: string, turn: number): Conversation {
  return {
    ask: (prompt) => JSON.stringify({ prompt, session_id: name, turn, n_predict: 128, temperature: 0 }),
    after: () => session(name, turn + 1),
  };
}

/** OpenAI's `/v1/responses`, each with the id of the one before. */
export const RESPONSES_SPEECH: Speech = { path: '/v1/responses', llmPath: '/v1/responses', open: () => responses() };

function responses(previous?: string): Conversation {
  return {
    ask: (input) => JSON.stringify({ model: 'demo', input, store: true, previous_response_id: previous }),
    after: (reply) => responses(JSON.parse(reply).id),
  };
}

/** The LLM itself, each message alone: what is there without anything in front. */
export const DIRECT_SPEECH: Speech = {
  path: '/v1/chat/completions',
  llmPath: '/v1/chat/completions',
  open: () => alone,
};

const alone: Conversation = {
  ask: (content) => JSON.stringify({ model: 'demo', messages: [{ role: 'user', content }] }),
  after: () => alone,
};

import { KeepAliveClient } from './keep-alive-client.ts';
import type { Load } from './turn-load.ts';

/** One conversation as its client has it: what it sends next, and what it learns from each answer. */
export interface Talk {
  readonly path: string;
  next(): string;
  answered(reply: string): void;
}

const REPLY_TOKENS = 128;
const LOAD_TURNS = 20;
const said = (talk: number, turn: number) =>
  `In ${talk}, write function ${turn} for a proportional (P) controller.`.padEnd(65);

let talks = 0;

/** The same conversation through each API that a client may have it by. */
export const CONVERSATIONS: Readonly<Record<string, () => Talk>> = {
  completion() {
    const talk = ++talks;
    let turn = 0;
    const session_id = `talk-${talk}`;
    return {
      path: '/completion',
      next: () =>
        JSON.stringify({ ...{ session_id, turn: ++turn, n_predict: REPLY_TOKENS }, prompt: said(talk, turn) }),
      answered() {},
    };
  },
  responses() {
    const talk = ++talks;
    let turn = 0;
    let id: string | undefined;
    return {
      path: '/v1/responses',
      next: () =>
        JSON.stringify({
          ...{ model: 'any', input: said(talk, ++turn), max_output_tokens: REPLY_TOKENS },
          ...(id !== undefined && { previous_response_id: id }),
        }),
      answered(reply) {
        id = (JSON.parse(reply) as { id: string }).id;
      },
    };
  },
  chat() {
    const talk = ++talks;
    let turn = 0;
    const messages: object[] = [];
    return {
      path: '/v1/chat/completions',
      next() {
        messages.push({ role: 'user', content: said(talk, ++turn) });
        return JSON.stringify({ model: 'any', messages, max_tokens: REPLY_TOKENS });
      },
      answered(reply) {
        const { content } = (JSON.parse(reply) as Chat).choices[0].message;
        messages.push({ role: 'assistant', content });
      },
    };
  },
};

interface Chat {
  readonly choices: readonly [{ readonly message: { readonly content: string } }];
}

/** Keeps so many clients busy for so long, each in one conversation of 20 turns after another; every turn's time in milliseconds. */
export async function loadWithTalks(
  port: number,
  open: () => Talk,
  { clients, elapsedMs }: { readonly clients: number; readonly elapsedMs: number },
): Promise<Load> {
  const turnMs: number[] = [];
  const connected = await KeepAliveClient.openAll(clients, { host: '127.0.0.1', port });
  const startedMs = performance.now();
  const isDone = () => performance.now() - startedMs >= elapsedMs;
  await Promise.all(
    connected.map(async (client) => {
      while (!isDone()) {
        const talk = open();
        for (let turn = 1; turn <= LOAD_TURNS && !isDone(); turn++) {
          const turnStartedMs = performance.now();
          talk.answered(await client.post(talk.path, talk.next()));
          turnMs.push(performance.now() - turnStartedMs);
        }
      }
      client.close();
    }),
  );
  return { turnMs, elapsedMs: performance.now() - startedMs };
}

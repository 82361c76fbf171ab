import { KeepAliveClient } from '../support/keep-alive-client.ts';
import type { RunningPeer, Speech } from './peer.ts';

export const CONVERSATION_TURNS = 20;
const MESSAGE = 'Write a simple Python function for a proportional (P) controller.';

/** No two conversations of a run have one name. */
let begun = 0;

/** One client's conversation of `turns` turns, one after the other; the time of each in milliseconds. */
export async function converse(speech: Speech, client: KeepAliveClient, turns = CONVERSATION_TURNS): Promise<number[]> {
  const turnMs: number[] = [];
  let conversation = speech.open(`peers-${begun++}`);
  for (let turn = 0; turn < turns; turn++) {
    const body = conversation.ask(MESSAGE);
    const startedMs = performance.now();
    const reply = await client.post(speech.path, body);
    turnMs.push(performance.now() - startedMs);
    conversation = conversation.after(reply);
  }
  return turnMs;
}

/** `clients` at once, each in conversation after conversation until the time is over. */
export async function converseAll(
  { speech, port }: { readonly speech: Speech; readonly port: number },
  { clients, elapsedMs }: { readonly clients: number; readonly elapsedMs: number },
): Promise<{ readonly turns: number; readonly elapsedMs: number }> {
  const connected = await KeepAliveClient.openAll(clients, { host: '127.0.0.1', port });
  const startedMs = performance.now();
  let turns = 0;
  await Promise.all(
    connected.map(async (client) => {
      while (performance.now() - startedMs < elapsedMs) {
        const { length } = await converse(speech, client);
        turns += length;
      }
      client.close();
    }),
  );
  return { turns, elapsedMs: performance.now() - startedMs };
}

export async function withClient<T>(port: number, work: (client: KeepAliveClient) => Promise<T>): Promise<T> {
  const client = await KeepAliveClient.open({ host: '127.0.0.1', port });
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** One request on a connection of its own, whatever comes of it. */
export async function said(
  { path }: Speech,
  { port }: Pick<RunningPeer, 'port'>,
  body: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body,
    signal: AbortSignal.timeout(ANSWER_WAIT_MS),
  });
  return { status: response.status, text: await response.text() };
}

const ANSWER_WAIT_MS = 20_000;

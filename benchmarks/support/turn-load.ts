import { KeepAliveClient } from './keep-alive-client.ts';

const PROMPT = 'Write a simple Python function for a proportional (P) controller.';
const TURNS_A_SESSION = 50;

/** Turns with sessions of their own names, so that no two loads of a run meet in a session. */
let sessionsMade = 0;

/** The body of one turn: a message of 65 bytes that asks for 128 ids unless told otherwise. */
export function turnBody(session: string, turn: number, { stream = false, replyTokens = 128 } = {}): string {
  const body = { prompt: PROMPT, session_id: session, turn, n_predict: replyTokens, temperature: 0 };
  return JSON.stringify(stream ? { ...body, stream } : body);
}

export interface Load {
  readonly turnMs: number[];
  readonly elapsedMs: number;
}

export interface LoadOptions {
  readonly turns?: number;
  readonly elapsedMs?: number;
  readonly stream?: boolean;
  readonly replyTokens?: number;
  /** An API key. */
  readonly key?: string | undefined;
  /** Of the node's certificate, where it serves HTTPS. */
  readonly authority?: string | undefined;
  /** 50 unless told otherwise. */
  readonly turnsASession?: number;
}

/**
 * Keeps `clients` connections to a node on this machine busy until so many turns or so much time; every turn's time in
 * milliseconds. Each client goes from session to session.
 */
export async function loadWithTurns(port: number, clients: number, until: LoadOptions): Promise<Load> {
  const { turnsASession = TURNS_A_SESSION } = until;
  const turnMs: number[] = [];
  const open = await KeepAliveClient.openAll(clients, { ...until, host: '127.0.0.1', port });
  const startedMs = performance.now();
  let begun = 0;
  const done = () =>
    begun >= (until.turns ?? Number.POSITIVE_INFINITY) ||
    performance.now() - startedMs >= (until.elapsedMs ?? Number.POSITIVE_INFINITY);
  await Promise.all(
    open.map(async (client) => {
      while (!done()) {
        const session = `load-${sessionsMade++}`;
        for (let turn = 1; turn <= turnsASession && !done(); turn++) {
          begun++;
          const turnStartedMs = performance.now();
          await client.post('/completion', turnBody(session, turn, until));
          turnMs.push(performance.now() - turnStartedMs);
        }
      }
      client.close();
    }),
  );
  return { turnMs, elapsedMs: performance.now() - startedMs };
}

import { connect, type Socket } from 'node:net';
import { completion, type TurnApi } from './turn-apis.ts';
import { type TurnSender, turnClient } from './turn-client.ts';

/** What some clients were told together. */
export class Told {
  /** How often each was answered, by status. */
  readonly statuses = new Map<number, number>();
  /** Refusals that did not say when to come again. */
  mute = 0;
  /** By user, which of its turns were acknowledged. */
  readonly acknowledged = new Map<string, Set<number>>();
  readonly responseIds: string[] = [];
  /** Of those, from asking to the end of the reply. */
  readonly turnMs: number[] = [];

  count(status: number): number {
    return this.statuses.get(status) ?? 0;
  }

  get asked(): number {
    return [...this.statuses.values()].reduce((sum, count) => sum + count, 0);
  }
}

export interface Pace {
  isOver(): boolean;
  /** How long a client waits after a refusal, whatever it was told. */
  readonly refusedMs: number;
  /** And after a reply; at once if left out. */
  readonly answeredMs?: number;
}

/** A tenth of what a refused client is told to wait. */
export const IMPATIENT_MS = 100;

/** Until so long from now, with clients that do not heed when to come again. */
export function paceFor(seconds: number, pace: Partial<Pace> = {}): Pace {
  const untilMs = performance.now() + seconds * 1000;
  return { isOver: () => performance.now() >= untilMs, refusedMs: IMPATIENT_MS, ...pace };
}

/** Turn after turn of one user, the same again when it is refused, until it is over. */
export async function converse(api: TurnApi, sender: TurnSender, told: Told, pace: Pace): Promise<void> {
  const { user } = sender;
  const client = turnClient(api, sender);
  const acknowledged = told.acknowledged.get(user) ?? new Set();
  told.acknowledged.set(user, acknowledged);
  while (!pace.isOver()) {
    const startedMs = performance.now();
    const said = acknowledged.size;
    const { status, saysWhen, responseId } = await client.turn(said);
    told.statuses.set(status, told.count(status) + 1);
    if (status === 200) {
      told.turnMs.push(performance.now() - startedMs);
      acknowledged.add(said);
      if (responseId !== undefined) told.responseIds.push(responseId);
    } else if (!saysWhen) told.mute++;
    await pause(status === 200 ? pace.answeredMs : pace.refusedMs);
  }
  client.close();
}

/** Asks for streams on one connection, and reads none of it. */
export function nobodyReads({ url, key, user }: TurnSender): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').pause();
  socket.on('error', () => {});
  for (let turn = 0; turn < 20; turn++) {
    const json = JSON.stringify({ ...completion(user, turn), stream: true });
    const type = `content-type: application/json\r\ncontent-length: ${json.length}`;
    socket.write(`POST /completion HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n${type}\r\n\r\n${json}`);
  }
  return socket;
}

async function pause(ms: number | undefined): Promise<void> {
  if (ms !== undefined) await new Promise((resolve) => setTimeout(resolve, ms));
}

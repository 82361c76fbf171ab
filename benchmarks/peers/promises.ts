import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { compiledLibrary } from '../../tools/cluster/compiled.ts';
import type { InstantLlm } from '../support/instant-llm/instant-llm.ts';
import { converse, said, withClient } from './conversations.ts';
import type { Conversation, Peer, RunningPeer } from './peer.ts';

/** Each answer is short: it becomes the cell of a table. */
export interface Promises {
  /** LLM calls and answers for one request that is sent twice, one after the other. */
  readonly sentTwice: string;
  /** For one request that is sent twice at once. */
  readonly sentTwiceAtOnce: string;
  /** For two different messages that both go on from the same turn, at once. */
  readonly twoTurnsAtOnce: string;
  /** Whether a fourth turn after kill -9 and a start has the three before it. */
  readonly afterKill9: string;
  readonly syncsPerTurn: number | string;
}

const EARLIER_TURNS = 3;
/** Some sync now and then only. */
const SYNCED_TURNS = 300;

/** What of a conversation a peer holds to, tried out on a start of its own in `folder`. */
export async function tryPromises(peer: Peer, llm: InstantLlm, folder: string): Promise<Promises> {
  mkdirSync(folder, { recursive: true });
  const counter = join(folder, 'syncs');
  const library = compiledLibrary('count-syncs', folder);
  const env = 'path' in library ? { LD_PRELOAD: library.path, COUNT_SYNCS: counter } : {};
  let running = await peer.start({ llm, folder, env });
  try {
    const turns = new Turns(peer, llm);
    const before = syncs(counter);
    await withClient(running.port, (client) => converse(peer.speech, client, SYNCED_TURNS));
    const syncsPerTurn = 'path' in library ? (syncs(counter) - before) / SYNCED_TURNS : library.whyNot;

    const conversation = await turns.begin(running);
    const one = conversation.ask('Again.');
    const sentTwice = await turns.outcome(running, [one, one], 'in order');
    const sentTwiceAtOnce = await turns.outcome(
      running,
      twice(await turns.begin(running), 'Again.', 'Again.'),
      'at once',
    );
    const twoTurnsAtOnce = await turns.outcome(running, twice(await turns.begin(running), 'This.', 'That.'), 'at once');

    const kept = await turns.begin(running);
    const sentBefore = await turns.sentBytes();
    await running.kill();
    running = await peer.start({ llm, folder });
    const { status } = await said(peer.speech, running, kept.ask('And now?'));
    const hasAll = (await turns.sentBytes()) > sentBefore;
    const afterKill9 = status === 200 ? (hasAll ? 'all of it' : 'answered without it') : `lost (${status})`;
    return { sentTwice, sentTwiceAtOnce, twoTurnsAtOnce, afterKill9, syncsPerTurn };
  } finally {
    await running.kill();
  }
}

class Turns {
  readonly #peer: Peer;
  readonly #llm: InstantLlm;
  #begun = 0;

  constructor(peer: Peer, llm: InstantLlm) {
    this.#peer = peer;
    this.#llm = llm;
  }

  /** A conversation of three turns. */
  async begin(running: RunningPeer): Promise<Conversation> {
    const { speech, name } = this.#peer;
    let conversation = speech.open(`promises-${name}-${this.#begun++}`.replaceAll(/\W+/g, '-'));
    for (let turn = 1; turn <= EARLIER_TURNS; turn++) {
      const { status, text } = await said(speech, running, conversation.ask(`This is turn ${turn}.`));
      if (status !== 200) throw new Error(`${name} answered ${status}: ${text.slice(0, 200)}`);
      conversation = conversation.after(text);
    }
    return conversation;
  }

  /** "2 LLM calls: 200, 200" */
  async outcome(running: RunningPeer, bodies: readonly string[], how: 'in order' | 'at once'): Promise<string> {
    const before = await this.#calls();
    const statuses: number[] = [];
    const say = async (body: string) => void statuses.push((await said(this.#peer.speech, running, body)).status);
    if (how === 'at once') await Promise.all(bodies.map(say));
    else for (const body of bodies) await say(body);
    const calls = (await this.#calls()) - before;
    return `${calls} LLM call${calls === 1 ? '' : 's'}: ${statuses.sort().join(', ')}`;
  }

  /** The length of what the LLM was sent last: more with each turn of the history. */
  async sentBytes(): Promise<number> {
    return (await this.#llm.counts()).bodyBytes[this.#peer.speech.llmPath] ?? 0;
  }

  async #calls(): Promise<number> {
    return (await this.#llm.counts()).calls[this.#peer.speech.llmPath] ?? 0;
  }
}

function twice(conversation: Conversation, first: string, second: string): readonly string[] {
  return [conversation.ask(first), conversation.ask(second)];
}

function syncs(counter: string): number {
  return statSync(counter, { throwIfNoEntry: false })?.size ?? 0;
}

import { once } from 'node:events';
import { Agent, type IncomingMessage, request as send } from 'node:http';
import { text } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { type JsonBounds, jsonMembers } from '../../../src/domain/json/json-members.ts';
import { Chance } from '../../../tools/chance.ts';
import { type Json, startTestNode } from '../../../tools/test-node.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const USER = 'ada';
/** The others have every longer member passed over, or every one of more parts. */
const BOUNDS: readonly JsonBounds[] = [
  { bytesMax: 1_000_000, weightMax: 1_000_000 },
  { bytesMax: 40, weightMax: 1_000_000 },
  { bytesMax: 1_000_000, weightMax: 40 },
];
const PIECE_BYTES = [1, 7, 100, 2_000];

/** What is said to be everything of a user, in pieces of all sizes: what is read of it, and what becomes of it, is as if it came whole. */
export const open: OpenTarget = async () => {
  const seed = await exported();
  const node = await startTestNode();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    seeds: [seed, JSON.stringify({ sessions: [], preferences: { tone: 'brief' }, ttl_seconds: 60 })],
    words: ['sessions', 'branches', 'turns', 'record', 'context_id', 'keygroup', 'preferences', 'ttl_seconds'],
    isJson: true,
    keeps: true,
    inputBytesMax: 16_384,
    async check(input) {
      const pieces = inPieces(input);
      for (const bounds of BOUNDS)
        if ((await membersOf([input], bounds)) !== (await membersOf(pieces, bounds))) throw new Error('other members');
      const sent = (parts: readonly Buffer[]) => importAt(`${node.url}/users/${USER}/import`, agent, parts);
      const [whole, cut] = [await sent([input]), await sent(pieces)];
      if (whole !== undefined && cut !== undefined && whole !== cut)
        throw new Error(`${whole} whole, ${cut} in pieces`);
    },
    async close() {
      agent.destroy();
      await node.close();
    },
  };
};

/** A session of text, and a longer one of ids. */
async function exported(): Promise<string> {
  const node = await startTestNode();
  try {
    const of = { user_id: USER, n_predict: 4 };
    await node.turn({ ...of, session_id: 'text', prompt: 'One.', mode: 'raw' });
    await node.turn({ ...of, session_id: 'ids', prompt: 'Éins.', mode: 'tokenized' });
    await node.turn({ ...of, session_id: 'ids', prompt: 'Two.', turn: 2 });
    return (await node.get(`/users/${USER}/export`)).text;
  } finally {
    await node.close();
  }
}

/** By chance, and the same input always alike. */
function inPieces(input: Buffer): readonly Buffer[] {
  const chance = new Chance(crc32(input));
  const most = chance.of(PIECE_BYTES);
  const pieces: Buffer[] = [];
  for (let at = 0; at < input.length; at += pieces.at(-1)?.length ?? 0)
    pieces.push(input.subarray(at, at + 1 + chance.below(most)));
  return pieces;
}

/** What was read, and why no more was. */
async function membersOf(pieces: readonly Buffer[], bounds: JsonBounds): Promise<string> {
  const source = (async function* () {
    yield* pieces;
  })();
  const members: unknown[] = [];
  try {
    for await (const member of jsonMembers(source, { list: 'sessions', boundsOf: () => bounds })) members.push(member);
  } catch (error) {
    if (!(error instanceof DiscedgeError) || error.code !== 'invalid_request') throw error;
    members.push(error.message);
  }
  return JSON.stringify(members);
}

/** What became of it, but for what was here before; `undefined` where the node had closed the connection before all was sent. */
async function importAt(url: string, agent: Agent, pieces: readonly Buffer[]): Promise<string | undefined> {
  const request = send(url, { agent, method: 'POST', headers: { 'content-type': 'application/json' } });
  // The node may answer and close the connection before all was sent.
  request.on('error', () => {});
  for (const piece of pieces) request.write(piece);
  request.end();
  let answer: string;
  let status: number | undefined;
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    status = response.statusCode;
    answer = await text(response);
  } catch {
    return undefined;
  }
  if (status === 500) throw new Error('500');
  const { error, refused, sessions, preferences, ttl_seconds }: Json = JSON.parse(answer);
  const states = [preferences, ttl_seconds, ...(sessions ?? [])].map((of: Json) => of?.error?.code);
  return JSON.stringify([status, error?.code, refused, states]);
}

import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import type { KeygroupId, NodeId, SessionId, SessionKey, UserId } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import type { TurnRecord } from '../../src/domain/record/turn-record.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { userOf } from './catch-up.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { HeldRecord, HeldSession, Replica } from './history.ts';
import { noncesIn } from './roaming-client.ts';

const PAGE = 1_000;
/** The scripted LLM Service has one id per byte; those above are control tokens. */
const BYTES = 256;

/** Everything that the disk of a stopped node holds: the named sessions, and whatever else is there. */
export async function readReplica(
  node: ClusterNode,
  { sessions, keygroup }: { sessions: Iterable<string>; keygroup: KeygroupId },
): Promise<Replica> {
  const environment = nodeEnvironment({ logLevel: 'silent', nodeId: node.id });
  const options = { folder: node.dataDir, nodeId: node.id as NodeId, bytesMax: 4 * 2 ** 30 };
  const store = await openReplica(options, environment);
  try {
    const keys = new Map<string, SessionKey>();
    for (const name of sessions)
      keys.set(name, { keygroup, userId: userOf(name) as UserId, sessionId: name as SessionId });
    let after: SessionKey | undefined;
    for (;;) {
      const page = await store.list({ keygroup, after, limit: PAGE, nowMs: environment.clock.now() });
      for (const { key } of page.sessions) keys.set(key.sessionId, key);
      after = page.next;
      if (after === undefined) break;
    }
    const replica = new Map<string, HeldSession>();
    for (const [name, key] of keys) {
      const held = await store.read(key);
      if (held !== undefined) replica.set(name, { ...held, records: held.records.flatMap(heldTurn) });
    }
    return replica;
  } finally {
    await store.close();
  }
}

/** Of a deleted session only tombstones are there. */
function heldTurn({ hash, record }: SealedRecord): HeldRecord[] {
  if (record.kind !== 'turn') return [];
  const { parent, turn, origin, incarnation } = record;
  return [{ hash, parent, turn, origin, incarnation, nonces: noncesIn(userText(record)) }];
}

function userText({ payload }: TurnRecord): string {
  if (payload.mode !== 'tokenized') {
    return payload.messages.flatMap(({ role, content }) => (role === 'user' ? [content] : [])).join();
  }
  return Buffer.from(payload.promptIds.filter((id) => id < BYTES)).toString();
}

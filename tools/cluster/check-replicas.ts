import type {
  AcknowledgedReply,
  HeldRecord,
  HeldSession,
  History,
  Operation,
  Replica,
  Violation,
  Wipe,
} from './history.ts';

/** A turn takes milliseconds to a peer that is well; on a machine that does much else, longer. */
const REPLICATION_WAIT_MS = 5_000;

/**
 * Holds the replicas of nodes that have healed and come to rest against each other and against what clients were told:
 * all hold the same, nothing acknowledged is missing, nothing is there twice, damaged, foreign, or back from deletion.
 */
export function checkReplicas(history: History, replicas: ReadonlyMap<string, Replica>): Violation[] {
  const bySession = new Map<string, Operation[]>();
  const sessionOf = new Map<string, string>();
  const deleted = new Set<string>();
  const perhapsDeleted = new Set<string>();
  const wipes: Wipe[] = [];
  for (const event of history) if (event.kind === 'wipe') wipes.push(event);
  for (const event of history) {
    if (event.kind === 'deletion') {
      const isCertain = event.isCertain && !wipes.some((wipe) => isJustBefore(event.atMs, wipe));
      (isCertain ? deleted : perhapsDeleted).add(event.session);
    }
    if (event.kind !== 'turn') continue;
    sessionOf.set(event.nonce, event.session);
    const operations = bySession.get(event.session) ?? [];
    operations.push(event);
    bySession.set(event.session, operations);
  }
  const sessions = new Set([...bySession.keys(), ...[...replicas.values()].flatMap((replica) => [...replica.keys()])]);
  const violations: Violation[] = [];
  for (const session of sessions) {
    violations.push(...differences(session, replicas));
    for (const [node, replica] of replicas) {
      const held = replica.get(session) ?? NOTHING;
      const where = `session ${session} on ${node}`;
      if (deleted.has(session)) violations.push(...remains(where, held));
      else if (!perhapsDeleted.has(session))
        violations.push(...losses(where, held, { operations: bySession.get(session) ?? [], wipes }));
      violations.push(...shape(where, held), ...foreign(where, held, { session, sessionOf }));
    }
  }
  return violations;
}

const NOTHING: HeldSession = { deleted: false, corrupt: 0, records: [] };

function* differences(session: string, replicas: ReadonlyMap<string, Replica>): Iterable<Violation> {
  const contents = new Map<string, string[]>();
  for (const [node, replica] of replicas) {
    const { deleted, records } = replica.get(session) ?? NOTHING;
    const content = deleted ? 'deleted' : `${records.length} records ${hashesOf(records)}`;
    contents.set(content, [...(contents.get(content) ?? []), node]);
  }
  if (contents.size < 2) return;
  const sides = [...contents].map(([content, nodes]) => `${nodes.join(', ')}: ${content.slice(0, 60)}`);
  yield { rule: 'replicas differ', what: `session ${session}: ${sides.join('; ')}` };
}

function* losses(
  where: string,
  held: HeldSession,
  { operations, wipes }: { operations: readonly Operation[]; wipes: readonly Wipe[] },
): Iterable<Violation> {
  const byHash = new Map(held.records.map((record) => [record.hash, record]));
  for (const { nonce, outcome, reply } of operations) {
    if (outcome === 'refused' && held.records.some(({ nonces }) => nonces.includes(nonce)))
      yield { rule: 'refused turn took effect', what: `${where}: holds ${nonce}, which was refused` };
    if (reply === undefined) continue;
    const record = byHash.get(reply.contextId);
    const name = `turn ${reply.turn} (${nonce}), acknowledged by ${reply.node}`;
    if (record === undefined) {
      if (!wipes.some((wipe) => mayTake(wipe, reply)))
        yield { rule: 'lost turn', what: `${where}: ${name}, is not there` };
    } else if (record.turn !== reply.turn || record.nonces.join() !== nonce)
      yield { rule: 'lost turn', what: `${where}: ${name}, is turn ${record.turn} (${record.nonces.join()}) there` };
  }
}

/** Acknowledged is on one disk; only `replicated` promises more. */
export function mayTake(wipe: Wipe, { node, atMs, isReplicated }: AcknowledgedReply): boolean {
  return node === wipe.node && !isReplicated && isJustBefore(atMs, wipe);
}

function isJustBefore(atMs: number, wipe: Wipe): boolean {
  return atMs <= wipe.atMs && wipe.atMs - atMs < REPLICATION_WAIT_MS;
}

function* remains(where: string, { deleted, records }: HeldSession): Iterable<Violation> {
  if (!deleted || records.length > 0)
    yield { rule: 'deleted session is back', what: `${where}: ${records.length} records after its deletion` };
}

function* shape(where: string, { corrupt, records }: HeldSession): Iterable<Violation> {
  if (corrupt > 0) yield { rule: 'damaged record', what: `${where}: ${corrupt}` };
  const byHash = new Map(records.map((record) => [record.hash, record]));
  const written = new Set<string>();
  for (const record of records) {
    const { hash, turn, parent, nonces, origin, incarnation } = record;
    if (turn > 1 && (parent === undefined || !byHash.has(parent)))
      yield { rule: 'hole', what: `${where}: turn ${turn} (${nonces.join()}) without the turn before it` };
    // One node takes a turn once; what another one wrote of it in the meantime is a branch.
    const effect = [parent, nonces.join(), origin, incarnation].join(' ');
    if (written.has(effect))
      yield { rule: 'turn twice', what: `${where}: ${origin} has written turn ${turn} (${nonces.join()}) twice` };
    written.add(effect);
    const twice = nonces.find((nonce) => ancestors(record, byHash).some((before) => before.nonces.includes(nonce)));
    if (twice !== undefined) yield { rule: 'turn twice', what: `${where}: ${twice} is twice on the line to ${hash}` };
  }
}

function* foreign(
  where: string,
  { records }: HeldSession,
  { session, sessionOf }: { session: string; sessionOf: ReadonlyMap<string, string> },
): Iterable<Violation> {
  for (const { turn, nonces } of records)
    for (const nonce of nonces.length === 0 ? ['no message'] : nonces)
      if (sessionOf.get(nonce) !== session)
        yield { rule: 'foreign message', what: `${where}: turn ${turn} holds ${nonce} of ${sessionOf.get(nonce)}` };
}

function ancestors(record: HeldRecord, byHash: ReadonlyMap<string, HeldRecord>): HeldRecord[] {
  const found: HeldRecord[] = [];
  for (let at = byHash.get(record.parent ?? ''); at !== undefined; at = byHash.get(at.parent ?? '')) found.push(at);
  return found;
}

function hashesOf(records: readonly HeldRecord[]): string {
  return records
    .map(({ hash }) => hash)
    .sort()
    .join();
}

import type { AcknowledgedReply, History, Operation, Repetition, Violation } from './history.ts';

/**
 * Holds every reply against what its client had been told before it, session by session (DESIGN §4): under `strong` a
 * reply is made from all acknowledged turns in their order; under either consistency from this session's messages only,
 * each once, and labelled with how many they are.
 */
export function checkReplies(history: History): Violation[] {
  const sessionOf = new Map<string, string>();
  for (const event of history) if (event.kind === 'turn') sessionOf.set(event.nonce, event.session);
  const told = new Map<string, Told>();
  const violations: Violation[] = [];
  for (const event of history) {
    if (event.kind === 'wipe') for (const { replies } of told.values()) forgetAt(event.node, replies);
    if (event.kind === 'deletion' || event.kind === 'wipe') continue;
    const known: Told = told.get(event.session) ?? { acknowledged: [], sent: new Map(), replies: new Map() };
    told.set(event.session, known);
    const found =
      event.kind === 'repetition' ? repetitionFaults(event, known) : operationFaults(event, known, sessionOf);
    violations.push(...found);
    if (event.kind === 'repetition') continue;
    known.sent.set(event.nonce, event);
    if (event.reply === undefined) continue;
    known.acknowledged.push(event.nonce);
    known.replies.set(event.nonce, event.reply);
  }
  return violations;
}

/** What the client of one session knows so far. */
interface Told {
  readonly acknowledged: string[];
  readonly sent: Map<string, Operation>;
  readonly replies: Map<string, AcknowledgedReply>;
}

function* operationFaults(
  { session, nonce, consistency, reply }: Operation,
  told: Told,
  sessionOf: ReadonlyMap<string, string>,
): Iterable<Violation> {
  if (reply === undefined) return;
  const where = `session ${session}, message ${nonce} at ${reply.node}`;
  const before = reply.seen.slice(0, -1);
  if (reply.seen.at(-1) !== nonce) {
    yield { rule: 'foreign message', what: `${where}: the reply is to ${reply.seen.at(-1) ?? 'nothing'}` };
  }
  for (const seen of before) {
    if (sessionOf.get(seen) !== session)
      yield { rule: 'foreign message', what: `${where}: the model read ${seen} of ${sessionOf.get(seen) ?? 'nobody'}` };
    else if (told.sent.get(seen)?.outcome === 'refused')
      yield { rule: 'refused turn took effect', what: `${where}: the model read ${seen}, which was refused` };
  }
  const twice = reply.seen.find((seen, i) => reply.seen.indexOf(seen) !== i);
  if (twice !== undefined) yield { rule: 'turn twice', what: `${where}: the model read ${twice} twice` };
  if (reply.basedOnTurn !== before.length) {
    const what = `${where}: based_on_turn is ${reply.basedOnTurn}, the model read ${before.length} turns`;
    yield { rule: 'wrong label', what };
  }
  if (consistency !== 'strong') return;
  const kept = [...new Set(before)].filter((seen) => told.acknowledged.includes(seen));
  if (kept.join() !== told.acknowledged.join()) {
    const missing = told.acknowledged.filter((acknowledged) => !kept.includes(acknowledged));
    const order = missing.length === 0 ? 'in another order' : `without ${missing.join(', ')}`;
    yield { rule: 'stale answer', what: `${where}: answered ${order}; acknowledged were ${told.acknowledged.length}` };
  }
  if (reply.turn !== before.length + 1) {
    yield { rule: 'wrong label', what: `${where}: turn is ${reply.turn} after ${before.length} turns` };
  }
}

/** A node with a new disk may take a turn anew that only its old disk had. */
function forgetAt(node: string, replies: Map<string, AcknowledgedReply>): void {
  for (const [nonce, reply] of replies) if (reply.node === node) replies.delete(nonce);
}

function* repetitionFaults({ session, nonce, reply }: Repetition, told: Told): Iterable<Violation> {
  const first = told.replies.get(nonce);
  if (first === undefined) return;
  const where = `session ${session}, message ${nonce} sent again to ${reply.node}`;
  const { isTwinned = false, consistency } = told.sent.get(nonce) ?? {};
  // Of twins, every node gives the one on the main line, once it has both. Under `available` they may have been made from
  // different turns.
  const isSameText = first.text === reply.text || (isTwinned && consistency === 'available');
  const isSameRecord = first.contextId === reply.contextId || isTwinned;
  if (!isSameText || !isSameRecord) {
    const what = `${where} (${consistency}): first ${first.text} ${first.contextId}, then ${reply.text} ${reply.contextId}`;
    yield { rule: 'replay differs', what };
  }
  if (!reply.replayed) yield { rule: 'turn twice', what: `${where}: answered anew` };
}

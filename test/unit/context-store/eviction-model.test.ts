// Random histories of a full store among two peers: turns written and received, told to be held, evicted elsewhere, peers that go
// and come back, and restarts. A model of its own knows who holds what, and judges every eviction: may this session go?
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sessionKey, WRITTEN_AT_MS } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { FullReplica } from '../../support/full-replica.ts';

const RUNS = Number(process.env.EVICTION_HISTORY_RUNS ?? 15);
const BYTES_MAX = 4_000;

const peer = fc.constantFrom('b', 'c');
const turn = {
  session: fc.integer({ min: 1, max: 6 }),
  user: fc.constantFrom('u', 'u', 'v', 'w'),
  ids: fc.constantFrom(3, 90),
};
const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('write' as const), ...turn }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('receive' as const), peer, ...turn }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('has' as const), peer }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('evicts' as const),
      peer,
      log: fc.constantFrom('a', 'b', 'c'),
      percent: fc.nat(100),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('goes or comes' as const), peer }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface HeldRecord {
  readonly log: string;
  readonly sequence: number;
  readonly bytes: number;
}

/** What is true, as far as anybody has said. */
class Model {
  readonly sessions = new Map<string, HeldRecord[]>();
  readonly last = { a: 0, b: 0, c: 0 } as Record<string, number>;
  /** How far each peer has this node's log. */
  readonly acked = { b: 0, c: 0 } as Record<string, number>;
  readonly evicted = new Map<string, number>();
  readonly away = new Set<string>();

  isHeldElsewhere(session: string): boolean {
    const records = this.sessions.get(session) ?? [];
    return ['a', 'b', 'c'].every((log) => {
      const sequences = records.filter((record) => record.log === log).map(({ sequence }) => sequence);
      return sequences.length === 0 || ['b', 'c'].some((peer) => this.#has(peer, log, sequences));
    });
  }

  #has(peer: string, log: string, sequences: readonly number[]): boolean {
    if (sequences.some((sequence) => sequence <= (this.evicted.get(`${peer} ${log}`) ?? 0))) return false;
    return log === peer || (log === 'a' && sequences.every((sequence) => sequence <= (this.acked[peer] as number)));
  }

  bytesOf(session: string): number {
    return (this.sessions.get(session) ?? []).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get bytes(): number {
    return [...this.sessions.keys()].reduce((sum, session) => sum + this.bytesOf(session), 0);
  }

  /** Whether the user of a session has more than an equal part of so many bytes. */
  isBeyondPart(session: string, bytes: number): boolean {
    const users = new Map<string, number>();
    for (const one of this.sessions.keys()) users.set(userOf(one), (users.get(userOf(one)) ?? 0) + this.bytesOf(one));
    return (users.get(userOf(session)) ?? 0) > bytes / users.size;
  }
}

const userOf = (session: string) => session.split('-')[0] as string;

async function take(one: Step, replica: FullReplica, model: Model): Promise<void> {
  const { evictedLastCopies: before } = await replica.store.status();
  switch (one.kind) {
    case 'write':
    case 'receive': {
      const session = `${one.user}-${one.session}`;
      const held = model.sessions.get(session) ?? [];
      const log = one.kind === 'write' ? 'a' : one.peer;
      const sequence = (model.last[log] as number) + 1;
      const options = {
        key: sessionKey(session, one.user),
        turn: held.length + 1,
        variant: sequence,
        replyTokens: one.ids,
      };
      const [sealed] = await (one.kind === 'write' ? replica.write(options) : replica.receive(one.peer, options));
      model.last[log] = sequence;
      model.sessions.set(session, [...held, { log, sequence, bytes: sealed?.bytes.length as number }]);
      const lastCopies = judge(session, replica, model);
      expect((await replica.store.status()).evictedLastCopies).toBe(before + lastCopies);
      return;
    }
    case 'has':
      replica.has(one.peer);
      model.acked[one.peer] = model.last.a as number;
      return;
    case 'evicts': {
      const through = Math.floor(((model.last[one.log] as number) * one.percent) / 100);
      replica.evicts(one.peer, one.log === 'a' ? replica.ownLog : replica.logOf(one.log), through);
      const before = model.evicted.get(`${one.peer} ${one.log}`) ?? 0;
      model.evicted.set(`${one.peer} ${one.log}`, Math.max(before, through));
      return;
    }
    case 'goes or comes':
      if (!model.away.delete(one.peer)) model.away.add(one.peer);
      for (const id of ['b', 'c']) replica.peers[id] = model.away.has(id) ? { state: 'unreachable' } : {};
      return;
    case 'restart':
      await replica.close();
      await replica.open();
      model.evicted.clear();
      Object.assign(model.acked, { b: 0, c: 0 });
      return;
  }
}

/** What went when a turn of this session was put. Returns how many that nobody else is known to hold. */
function judge(written: string, replica: FullReplica, model: Model): number {
  const gone = replica.gone.splice(0).map(({ sessionId }) => sessionId as string);
  const before = {
    bytes: model.bytes,
    isBeyond: new Map(gone.map((one) => [one, model.isBeyondPart(one, BYTES_MAX * 0.8)])),
  };
  const lastCopies = gone.filter((session) => !model.isHeldElsewhere(session));
  const largestLast = Math.max(0, ...lastCopies.map((session) => model.bytesOf(session)));
  for (const session of gone) model.sessions.delete(session);
  const left = [...model.sessions.keys()].filter((session) => session !== written);
  const isBeyond = (bytes: number) => (session: string) => model.isBeyondPart(session, bytes);

  expect(gone).not.toContain(written);
  if (before.bytes <= BYTES_MAX * 0.9) expect(gone).toEqual([]);
  if (left.length > 0) expect(model.bytes).toBeLessThanOrEqual(BYTES_MAX);
  if (lastCopies.length > 0) {
    expect(before.bytes, 'a last copy goes where it is full').toBeGreaterThan(BYTES_MAX);
    const held = left.filter((session) => model.isHeldElsewhere(session));
    expect(held.filter(isBeyond(BYTES_MAX * 0.8)), 'and nothing is left that others hold').toEqual([]);
    expect(model.bytes + largestLast, 'and no more than must').toBeGreaterThan(BYTES_MAX * 0.99);
  }
  if (gone.some((session) => before.isBeyond.get(session) === false)) {
    expect(before.bytes, "who has no more than a part loses to others' only where it is full").toBeGreaterThan(
      BYTES_MAX,
    );
    expect(left.filter(isBeyond(BYTES_MAX * 0.99)), 'and nothing is left of who has more').toEqual([]);
  }
  return lastCopies.length;
}

test(`${RUNS} random histories: what goes is what may go`, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120, size: 'max' }), async (steps) => {
      const folder = await mkdtemp(join(tmpdir(), 'discedge-evictions-'));
      const replica = new FullReplica(folder, { bytesMax: BYTES_MAX }, virtualEnvironment({ startMs: WRITTEN_AT_MS }));
      const model = new Model();
      replica.peers = { b: {}, c: {} };
      try {
        await replica.open();
        for (const one of steps) await take(one, replica, model);
      } finally {
        await replica.close();
        await rm(folder, { recursive: true });
      }
    }),
    {
      numRuns: RUNS,
      endOnFailure: true,
      ...(process.env.FC_SEED === undefined ? {} : { seed: Number(process.env.FC_SEED) }),
    },
  );
});

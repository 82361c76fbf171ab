// The paper's fixed policy, beside which ours is to be compared, so it must be neither better nor worse than it says: it
// must not hear of an arrival, must look exactly when and as often as configured, and must count what it did.
import { beforeEach, describe, expect, it } from 'vitest';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { codeOf, contextManagerRig, errorOf, type Rig, replicaRig } from '../../support/context-manager-rig.ts';
import type { ProbedReplica } from '../../support/probed-store.ts';

let records: SealedRecord[];
let rig: Rig<ProbedReplica>;

beforeEach(async () => {
  const elsewhere = await contextManagerRig({ options: { nodeId: 'node-2' as never } });
  await elsewhere.turns('s', { to: 3 });
  records = elsewhere.records('s');
  rig = await replicaRig({ options: { turnGate: 'fixed', turnGateRetriesMax: 3, turnGateBackoffMs: 10 } });
  await arrive(1);
});

const arrive = (turn: number) => rig.store.arrive(records[turn - 1] as SealedRecord);

describe('3 retries, 10 ms apart', () => {
  it('an arrival is found at the next look, not before', async () => {
    let answered = false;
    const reply = rig.turn({ session: 's', turn: 3 }).finally(() => {
      answered = true;
    });
    await rig.environment.advance(12);
    await arrive(2);
    await rig.environment.advance(7);
    expect(answered).toBe(false);
    await rig.environment.advance(1);
    expect(await reply).toMatchObject({ turn: 3, basedOnTurn: 2, retries: 2, waitedMs: 20 });
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('each look reads the replica', async () => {
    const reply = codeOf(rig.turn({ session: 's', turn: 3 }));
    await rig.environment.advance(30);
    await reply;
    expect(rig.store.reads).toBe(4);
  });

  it('what is here needs no look', async () => {
    expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ retries: 0, waitedMs: 0 });
  });

  it('strong: refused after the third, however long it might wait', async () => {
    let refused: unknown;
    errorOf(rig.turn({ session: 's', turn: 3, maxWaitMs: 30_000 })).then((error) => {
      refused = error;
    });
    await rig.environment.advance(29);
    expect(refused).toBeUndefined();
    await rig.environment.advance(1);
    expect(refused).toMatchObject({ code: 'context_stale', status: 503 });
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('available: goes on after the third with what is here', async () => {
    const reply = rig.turn({ session: 's', turn: 3, consistency: 'available' });
    await rig.environment.advance(30);
    expect(await reply).toMatchObject({ turn: 2, basedOnTurn: 1, retries: 3, waitedMs: 30 });
  });

  it('max_wait_ms is the end of it all the same', async () => {
    const reply = rig.turn({ session: 's', turn: 3, consistency: 'available', maxWaitMs: 14 });
    await rig.environment.advance(14);
    expect(await reply).toMatchObject({ basedOnTurn: 1, retries: 2, waitedMs: 14 });
    expect(await codeOf(rig.turn({ session: 's', turn: 9, maxWaitMs: 0 }))).toBe('context_stale');
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('ends with its client', async () => {
    const leaver = new AbortController();
    const left = codeOf(rig.turn({ session: 's', turn: 3, gone: leaver.signal }));
    await rig.environment.advance(5);
    leaver.abort();
    expect(await left).toBe('turn_cancelled');
    expect(rig.environment.pendingTimers).toBe(0);
  });
});

it('no retries: refused at once', async () => {
  const hasty = await replicaRig({ options: { turnGate: 'fixed', turnGateRetriesMax: 0 } });
  expect(await codeOf(hasty.turn({ session: 's', turn: 2 }))).toBe('context_stale');
  expect(hasty.environment.pendingTimers).toBe(0);
});

it('a node that is alone looks once: nothing can arrive', async () => {
  const alone = await contextManagerRig({ options: { turnGate: 'fixed' } });
  await alone.turn({ session: 's', turn: 1 });
  expect(await codeOf(alone.turn({ session: 's', turn: 3 }))).toBe('context_stale');
  expect(alone.environment.pendingTimers).toBe(0);
});

// Asks for `replicated` where peers are fast, slow, gone, or none there can be; lets clients leave and nodes stop in the
// middle of the wait. A stored turn must never become an error, the next turn must not wait for it, and the reply must
// say what was reached and nothing more.
import { beforeEach, describe, expect, it } from 'vitest';
import type { TurnReply } from '../../../src/context-manager/turn/turn.ts';
import { codeOf, contextManagerRig, errorOf, type Rig, sharingRig } from '../../support/context-manager-rig.ts';
import type { ProbedSharingStore } from '../../support/probed-store.ts';

let rig: Rig<ProbedSharingStore>;
beforeEach(async () => {
  rig = await sharingRig();
});

const REPLICATED = { session: 's', writeConcern: 'replicated' } as const;
const reached = ({ writeConcern, replicas }: TurnReply) => [writeConcern, replicas];

describe('replicated', () => {
  it('the reply ends when a peer has the turn, which is stored here before', async () => {
    let ended = false;
    const parts: string[] = [];
    const turn = rig.turn({ ...REPLICATED, turn: 1, onPart: (text) => parts.push(text) }).finally(() => {
      ended = true;
    });
    await rig.settled();
    expect([ended, parts.length > 0, rig.records('s').length]).toEqual([false, true, 1]);
    await rig.environment.advance(999);
    expect(ended).toBe(false);
    rig.store.acknowledge(1);
    expect(reached(await turn)).toEqual(['replicated', 2]);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('a peer that has it already is counted without waiting', async () => {
    rig.store.acknowledge(2);
    expect(reached(await rig.turn({ ...REPLICATED, turn: 1 }))).toEqual(['replicated', 3]);
  });

  it('no peer in time: the turn stands, the reply says local, and a replay looks again', async () => {
    const turn = rig.turn({ ...REPLICATED, turn: 1, replicatedWaitMs: 300 });
    await rig.settled();
    await rig.environment.advance(300);
    const first = await turn;
    expect(reached(first)).toEqual(['local', 1]);
    const again = rig.turn({ ...REPLICATED, turn: 1 });
    await rig.settled();
    rig.store.acknowledge(1);
    const replay = await again;
    expect(replay).toMatchObject({ replayed: true, contextId: first.contextId });
    expect(reached(replay)).toEqual(['replicated', 2]);
    expect(rig.llm.generations).toHaveLength(1);
    expect(rig.metrics.observations('discedge_replicated_wait_seconds', { reached: 'local' })).toEqual([0.3]);
    expect(await rig.metrics.metric('discedge_replicated_wait_seconds', { reached: 'replicated' })).toBe(1);
  });

  it('the next turn does not wait for it', async () => {
    const first = rig.turn({ ...REPLICATED, turn: 1 });
    await rig.settled();
    expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ turn: 2, basedOnTurn: 1 });
    rig.store.acknowledge(1);
    expect(reached(await first)).toEqual(['replicated', 2]);
  });

  it('a record that came from another node is there and here', async () => {
    const elsewhere = await contextManagerRig({ options: { nodeId: 'node-2' as never } });
    await elsewhere.turn({ session: 's', turn: 1 });
    for (const sealed of elsewhere.records('s')) await rig.store.arrive(sealed);
    expect(reached(await rig.turn({ ...REPLICATED, turn: 1 }))).toEqual(['replicated', 2]);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('so is one that this node wrote before it lost its disk', async () => {
    const before = await contextManagerRig({ options: { incarnation: '0000000b' as never } });
    await before.turn({ session: 's', turn: 1 });
    for (const sealed of before.records('s')) await rig.store.arrive(sealed);
    expect(reached(await rig.turn({ ...REPLICATED, turn: 1 }))).toEqual(['replicated', 2]);
  });

  it('a store that fails to tell makes no error of a stored turn', async () => {
    rig.store.failNextWait();
    expect(reached(await rig.turn({ ...REPLICATED, turn: 1 }))).toEqual(['local', 1]);
    expect(rig.environment.logLines).toContainEqual(expect.objectContaining({ event: 'replication_wait_failed' }));
  });

  it.each(['leaves', 'cancels', 'deletes', 'stops the node'])(
    'who %s ends the wait, and the turn stands',
    async (how) => {
      const leaver = new AbortController();
      const turn = rig.turn({ ...REPLICATED, turn: 1, gone: leaver.signal });
      await rig.settled();
      const { sessions } = rig.manager;
      let stopped: Promise<void> | undefined;
      if (how === 'leaves') leaver.abort();
      if (how === 'cancels') expect(await sessions.cancel('ada' as never, 's' as never)).toBe('kept');
      if (how === 'deletes') await sessions.delete('ada' as never, 's' as never);
      if (how === 'stops the node') {
        stopped = rig.node.close(100);
        await rig.environment.advance(100);
      }
      expect(reached(await turn)).toEqual(['local', 1]);
      await stopped;
      expect(rig.environment.pendingTimers).toBe(0);
      expect(rig.environment.logLines).toEqual([]);
    },
  );

  it('a client that left before the turn was stored is not waited for', async () => {
    const leaver = new AbortController();
    const hold = rig.store.hold('append');
    const turn = rig.turn({ ...REPLICATED, turn: 1, gone: leaver.signal });
    await hold.entered;
    leaver.abort();
    hold.release();
    expect(reached(await turn)).toEqual(['local', 1]);
    expect(rig.environment.pendingTimers).toBe(0);
  });
});

describe('a node that cannot replicate', () => {
  it('refuses `replicated` before the LLM Service is asked', async () => {
    const alone = await contextManagerRig();
    expect(await errorOf(alone.turn({ ...REPLICATED, turn: 1 }))).toMatchObject({
      code: 'unsupported_parameter',
      param: 'write_concern',
    });
    expect(alone.llm.generations).toHaveLength(0);
    expect(reached(await alone.turn({ session: 's', turn: 1 }))).toEqual(['local', 1]);
  });

  it('has nothing to say of a turn that is not stored', async () => {
    const alone = await contextManagerRig();
    const reply = await alone.forward({ prompt: ['hi'] });
    expect(reply).not.toHaveProperty('writeConcern');
    expect(reply).not.toHaveProperty('replicas');
  });
});

describe('local', () => {
  it('asks no peer', async () => {
    expect(reached(await rig.turn({ session: 's', turn: 1 }))).toEqual(['local', 1]);
    expect(await rig.metrics.metric('discedge_replicated_wait_seconds', { reached: 'local' })).toBe(0);
  });

  it('is not part of what makes a request the same', async () => {
    await rig.turn({ session: 's', turn: 1 });
    rig.store.acknowledge(1);
    expect(await rig.turn({ ...REPLICATED, turn: 1 })).toMatchObject({ replayed: true, writeConcern: 'replicated' });
    expect(await codeOf(rig.turn({ ...REPLICATED, turn: 1, text: 'other' }))).toBe('turn_conflict');
  });
});

// A node dies before its last turns were replicated, and the client hands them over in words. Tries to have turns repaired that
// are to be had elsewhere or were never told of, to have one repaired twice, to lose one branch when the dead node returns, and
// to have the model read anything but what it would have read. The clock moves only when told.
import { beforeEach, describe, expect, it } from 'vitest';
import { type Layer, layerOf } from '../../../src/context-manager/layers/layer.ts';
import type { TurnReply } from '../../../src/context-manager/turn/turn.ts';
import { repairedOf } from '../../../src/domain/record/repaired.ts';
import type { RememberedTurn } from '../../../src/domain/session/turn-repair.ts';
import {
  type Ask,
  codeOf,
  contextManagerRig,
  errorOf,
  fetchingRig,
  type Rig,
  type RigOptions,
  replicaRig,
  textOf,
} from '../../support/context-manager-rig.ts';
import type { ProbedReplica } from '../../support/probed-store.ts';

let dead: Rig<ProbedReplica>;
let here: Rig<ProbedReplica>;
let acknowledged: TurnReply[];
const said = ['I am Ada.', 'I like tea.', 'I live in Ulm.'];

const node = (nodeId: string, more: RigOptions = {}) => replicaRig({ options: { nodeId: nodeId as never }, ...more });

beforeEach(() => acknowledge());

/** Three turns are answered, of which only the first reaches the node that lives on. */
async function acknowledge(more: RigOptions = {}): Promise<void> {
  dead = await node('dead', more);
  here = await node('here', more);
  acknowledged = [];
  for (const [index, text] of said.entries()) {
    const system = index === 0 ? { system: 'Be kind.' } : {};
    const contextId = acknowledged.at(-1)?.contextId;
    acknowledged.push(await dead.turn({ session: 's', turn: index + 1, text, contextId, ...system }));
  }
  await arriveHere(1);
}

/** Turns 1 to `last` reach the node that lives on. */
async function arriveHere(last: number, rig = here): Promise<void> {
  for (const sealed of dead.records('s').filter(({ record }) => record.turn <= last)) await rig.store.arrive(sealed);
}

function remembered(from = 1, to = 3): RememberedTurn[] {
  return acknowledged.slice(from - 1, to).map((reply) => ({
    turn: reply.turn,
    contextId: reply.contextId,
    ...(reply.turn === 1 && { system: 'Be kind.' }),
    prompt: said[reply.turn - 1] as string,
    reply: reply.text,
  }));
}

/** The turn that goes on, once what is waited for has not come. */
async function goOn(ask: Ask, rig: Rig = here): Promise<TurnReply> {
  const turn = rig.turn({ session: 's', turn: 4, text: 'Who am I?', contextId: acknowledged[2]?.contextId, ...ask });
  turn.catch(() => {});
  await rig.settled();
  for (let ms = 0; ms < 2000; ms += 100) await rig.environment.advance(100);
  return turn;
}

const shown = (rig: Rig, seen = {}) => rig.manager.sessions.show('ada' as never, 's' as never, seen);

describe('turns that were lost with their node', () => {
  it('are stored again as the client told them, and the conversation goes on', async () => {
    const reply = await goOn({ repair: remembered() });
    expect(reply).toMatchObject({ turn: 4, basedOnTurn: 3, repairedTurns: 2, replayed: false });
    const { turns } = await shown(here);
    expect(turns.map((turn) => textOf(turn).messages.at(-1)?.content)).toEqual([...said, 'Who am I?']);
    expect(turns.map((turn) => textOf(turn).reply)).toEqual([...acknowledged, reply].map(({ text }) => text));
    expect(turns.map(({ turn }) => repairedOf(turn.record))).toEqual([
      undefined,
      acknowledged[1]?.contextId,
      acknowledged[2]?.contextId,
      undefined,
    ]);
    expect(here.llm.generations).toHaveLength(1);
    expect(await here.metrics.metric('discedge_repaired_turns_total', { model: 'scripted' })).toBe(2);
    await goOn({ repair: remembered() });
    expect(await here.metrics.metric('discedge_repaired_turns_total', { model: 'scripted' })).toBe(2);
  });

  it('are read by the model exactly as if they had never been lost', async () => {
    await goOn({ repair: remembered() });
    await goOn({}, dead);
    expect(here.llm.generations.at(-1)?.prompt).toEqual(dead.llm.generations.at(-1)?.prompt);
    here.restart();
    const [four] = here.records('s').slice(-1);
    await goOn({ turn: 5, contextId: four?.hash, text: 'And then?' });
    const [deadFour] = dead.records('s').slice(-1);
    await goOn({ turn: 5, contextId: deadFour?.hash, text: 'And then?' }, dead);
    expect(here.llm.generations.at(-1)?.prompt).toEqual(dead.llm.generations.at(-1)?.prompt);
  });

  it('leave the context layers as they were: nothing of them has changed', async () => {
    const layer = layerOf('deployment', 'Be polite.', (text) => Buffer.from(text).toString('hex').slice(-16)) as Layer;
    await acknowledge({ layers: () => ({ of: () => [layer] }) });
    const { layers, repairedTurns } = await goOn({ repair: remembered() });
    const parts = [{ name: 'deployment', tokens: layer.text.length, changed: false }];
    expect({ layers, repairedTurns }).toEqual({ layers: { parts, rewrittenTokens: 0 }, repairedTurns: 2 });
    await goOn({}, dead);
    expect(here.llm.generations.at(-1)?.prompt).toEqual(dead.llm.generations.at(-1)?.prompt);
  });

  it('are replicated like any other: a third node goes on from them, by the name of the lost turn too', async () => {
    const reply = await goOn({ repair: remembered() });
    const third = await node('third');
    for (const sealed of here.store.appended) await third.store.arrive(sealed);
    expect(await third.turn({ session: 's', turn: 5, contextId: reply.contextId, text: 'on' })).toMatchObject({
      turn: 5,
    });
    const again = await third.turn({ session: 's', turn: 4, contextId: acknowledged[2]?.contextId, text: 'Who am I?' });
    expect(again).toMatchObject({ replayed: true, contextId: reply.contextId, text: reply.text, repairedTurns: 2 });
    expect((await shown(third, { contextId: acknowledged[2]?.contextId })).turns).toHaveLength(5);
  });

  it('are repaired once, however often they are handed over', async () => {
    const first = await goOn({ repair: remembered() });
    const again = await goOn({ repair: remembered() });
    expect(again).toMatchObject({ replayed: true, contextId: first.contextId });
    here.restart();
    expect(await goOn({ repair: remembered() })).toMatchObject({ replayed: true, contextId: first.contextId });
    expect(here.records('s')).toHaveLength(4);
  });

  it('and a repair that was broken off goes on from what there is', async () => {
    const append = here.store.hold('append');
    const turn = here.turn({ session: 's', turn: 4, contextId: acknowledged[2]?.contextId, repair: remembered() });
    turn.catch(() => {});
    await here.settled();
    await here.environment.advance(1000);
    await append.entered;
    here.store.failNext('append');
    append.release();
    expect(await codeOf(turn)).toBe('store_unavailable');
    expect((await shown(here)).turns).toHaveLength(2);
    await goOn({ repair: remembered() });
    expect((await shown(here)).turns).toHaveLength(4);
    expect((await shown(here)).branches).toEqual([]);
  });

  it('all of them: the session is opened again, with its system message', async () => {
    const empty = await node('empty');
    expect(await goOn({ repair: remembered() }, empty)).toMatchObject({ turn: 4, repairedTurns: 3 });
    await goOn({}, dead);
    expect(empty.llm.generations.at(-1)?.prompt).toEqual(dead.llm.generations.at(-1)?.prompt);
  });

  it('in a raw session too', async () => {
    const [was, is] = [await node('was'), await node('is')];
    acknowledged = [];
    for (const [index, text] of said.entries())
      acknowledged.push(await was.turn({ session: 's', turn: index + 1, text, mode: 'raw' }));
    await is.store.arrive(was.records('s')[0] as never);
    await goOn({ repair: remembered() }, is);
    await goOn({}, was);
    expect(is.records('s').at(-1)?.record.payload.mode).toBe('raw');
    expect(is.llm.generations.at(-1)?.prompt).toEqual(was.llm.generations.at(-1)?.prompt);
  });
});

describe('a repair is not made', () => {
  it('where nobody asks for one', async () => {
    expect(await codeOf(goOn({}))).toBe('context_stale');
    expect(here.records('s')).toHaveLength(1);
  });

  it('where the turns are here', async () => {
    await arriveHere(3);
    expect(await goOn({ repair: remembered() })).toMatchObject({ repairedTurns: 0 });
    expect(here.records('s').filter(({ record }) => repairedOf(record) !== undefined)).toEqual([]);
  });

  it('where they arrive while it waits, even if the client would not', async () => {
    const turn = here.turn({
      session: 's',
      turn: 4,
      contextId: acknowledged[2]?.contextId,
      repair: remembered(),
      maxWaitMs: 0,
    });
    await here.settled();
    await here.environment.advance(500);
    expect(here.records('s')).toHaveLength(1);
    await arriveHere(3);
    expect(await turn).toMatchObject({ repairedTurns: 0, basedOnContext: acknowledged[2]?.contextId });
  });

  it('where a peer has them', async () => {
    const fetching = await fetchingRig();
    fetching.store.elsewhere.push(...dead.records('s'));
    expect(await goOn({ repair: remembered(), maxWaitMs: 0 }, fetching)).toMatchObject({ repairedTurns: 0 });
    expect(fetching.store.fetches).toHaveLength(1);
  });

  it('where what is handed over reaches back to nothing that is here', async () => {
    const error = await errorOf(goOn({ repair: remembered(3) }));
    expect(error).toMatchObject({ code: 'repair_incomplete', param: 'repair', retry: true });
    expect(error.message).toContain('1 turn');
    expect(here.records('s')).toHaveLength(1);
  });

  it('of a session that was deleted', async () => {
    await here.manager.sessions.delete('ada' as never, 's' as never);
    expect(await codeOf(goOn({ repair: remembered() }))).toBe('session_deleted');
  });

  it('of another user', async () => {
    const reply = await goOn({ repair: remembered(), user: 'eve' });
    expect(reply.repairedTurns).toBe(3);
    expect((await shown(here)).turns).toHaveLength(1);
  });
});

describe('when the dead node returns', () => {
  it('both branches are kept, and each client goes on with its own', async () => {
    const reply = await goOn({ repair: remembered() });
    await arriveHere(3);
    for (const sealed of here.store.appended) await dead.store.arrive(sealed);
    for (const rig of [here, dead]) {
      const { turns, branches } = await shown(rig);
      expect([turns, ...branches.map((branch) => branch.turns)].map((line) => line.length).sort()).toEqual([2, 4]);
    }
    expect(await here.turn({ session: 's', turn: 5, contextId: reply.contextId, text: 'mine' })).toMatchObject({
      turn: 5,
    });
    const other = await here.turn({
      session: 's',
      turn: 4,
      contextId: acknowledged[2]?.contextId,
      text: 'another device',
    });
    expect(other).toMatchObject({ turn: 4, repairedTurns: 0, basedOnContext: acknowledged[2]?.contextId });
  });

  it('the request that was answered on the repaired branch still has that answer', async () => {
    const reply = await goOn({ repair: remembered() });
    await arriveHere(3);
    expect(await goOn({ repair: remembered() })).toMatchObject({ replayed: true, contextId: reply.contextId });
  });
});

it('a branch of somebody else after the last turn that is here does not stand in the way', async () => {
  await here.turn({ session: 's', turn: 2, contextId: acknowledged[0]?.contextId, text: 'another device' });
  const reply = await goOn({ repair: remembered() });
  expect(reply).toMatchObject({ repairedTurns: 2 });
  expect((await shown(here)).branches).toHaveLength(1);
});

it('a node that shares with no other repairs too, as after its disk was put back', async () => {
  const alone = await contextManagerRig();
  expect(await goOn({ repair: remembered() }, alone)).toMatchObject({ repairedTurns: 3 });
});

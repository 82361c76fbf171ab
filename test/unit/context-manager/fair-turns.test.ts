// Sends a node more turns than its LLM Service works on and than it takes, in all of a turn's waiting places, beside somebody with one
// turn at a time: that turn must be answered next, and what it costs others must be what had not begun. Whatever gave way can be sent
// again, and nothing is left of it.
import { beforeEach, describe, expect, it } from 'vitest';
import type { TurnReply } from '../../../src/context-manager/turn/turn.ts';
import { DiscedgeError, type ErrorCode } from '../../../src/domain/errors.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';
import { type Ask, codeOf, contextManagerRig, type Rig } from '../../support/context-manager-rig.ts';
import type { Hold } from '../../support/hold.ts';

const TURNS_MAX = 8;
let rig: Rig;
beforeEach(async () => {
  rig = await contextManagerRig({ options: { turnsInFlightMax: TURNS_MAX }, scripted: { parallel: 1 } });
});

/** What it came to: the turn's number, or the code of its error. */
type Outcome = TurnReply['turn'] | ErrorCode;

function outcomeOf(turn: Promise<TurnReply>): Promise<Outcome> {
  return turn.then(
    (reply) => reply.turn,
    () => codeOf(turn),
  );
}

/** A turn that the LLM Service works on until it is released. */
async function heldTurn(ask: Ask): Promise<{ hold: Hold; outcome: Promise<Outcome> }> {
  const hold = rig.llm.hold();
  const outcome = outcomeOf(rig.turn(ask));
  await hold.entered;
  return { hold, outcome };
}

const prompts = () => rig.llm.generations.map(({ request }) => request.owner);

async function expectIdle(): Promise<void> {
  expect(await rig.metrics.metric('discedge_turns_in_flight')).toBe(0);
  expect(await rig.metrics.metric('discedge_busy_sessions')).toBe(0);
  expect(rig.environment.pendingTimers).toBe(0);
}

describe('turns that wait for the LLM Service', () => {
  it('are answered in turn for principals, however many one has sent before', async () => {
    const { hold, outcome } = await heldTurn({ user: 'x', principal: 'flood', session: '0', turn: 1 });
    const flood = [1, 2, 3].map((at) => rig.turn({ user: 'x', principal: 'flood', session: `${at}`, turn: 1 }));
    const ada = rig.turn({ user: 'ada', principal: 'ada', session: 's', turn: 1 });
    await rig.settled();
    expect(prompts()).toEqual(['x']);
    hold.release();
    await Promise.all([outcome, ada, ...flood]);
    expect(prompts()).toEqual(['x', 'ada', 'x', 'x', 'x']);
    await expectIdle();
  });

  it('are answered in turn for users of one principal, and for those without any who are one', async () => {
    const { hold, outcome } = await heldTurn({ user: 'x', session: '0', turn: 1 });
    const turns = ['x', 'x', 'y', 'z'].map((user, at) => rig.turn({ user, session: `${at + 1}`, turn: 1 }));
    await rig.settled();
    hold.release();
    await Promise.all([outcome, ...turns]);
    expect(prompts()).toEqual(['x', 'y', 'z', 'x', 'x']);
  });

  it('and whose session is stopped leave without a place, and the others go on', async () => {
    const { hold, outcome } = await heldTurn({ user: 'x', principal: 'flood', session: '0', turn: 1 });
    const ada = rig.turn({ user: 'ada', principal: 'ada', session: 's', turn: 1 });
    const eve = outcomeOf(rig.turn({ user: 'eve', principal: 'eve', session: 's', turn: 1 }));
    await rig.settled();
    rig.node.running.stopUser('eve' as UserId, new DiscedgeError('turn_cancelled', 'stopped by the test'));
    expect(await eve).toBe('turn_cancelled');
    hold.release();
    expect(await outcome).toBe(1);
    expect((await ada).turn).toBe(1);
    expect(prompts()).toEqual(['x', 'ada']);
    await expectIdle();
  });
});

describe('on a full node', () => {
  it('the newest turn that waits for the LLM Service gives way, and never the one that it works on', async () => {
    const { hold, outcome } = await heldTurn({ user: 'x', principal: 'flood', session: '0', turn: 1 });
    const flood = [1, 2, 3, 4, 5].map((at) =>
      outcomeOf(rig.turn({ user: 'x', principal: 'flood', session: `${at}`, turn: 1 })),
    );
    await rig.settled();
    expect(await outcomeOf(rig.turn({ user: 'x', principal: 'flood', session: '6', turn: 1 }))).toBe('overloaded');
    const good = ['a', 'b', 'c', 'd'].map((name) => rig.turn({ user: name, principal: name, session: 's', turn: 1 }));
    expect(await Promise.all(flood.slice(1))).toEqual(Array(4).fill('overloaded'));
    expect(await rig.metrics.metric('discedge_turns_given_way_total')).toBe(4);
    hold.release();
    expect([await outcome, await flood[0]]).toEqual([1, 1]);
    expect((await Promise.all(good)).map(({ turn }) => turn)).toEqual([1, 1, 1, 1]);
    await expectIdle();
  });

  it('the last turn in the line of a session gives way, those before it stay in order, and it can be sent again', async () => {
    const { hold, outcome } = await heldTurn({ user: 'x', principal: 'flood', session: 's', turn: 1 });
    const asked = [2, 3, 4, 5, 6].map((turn) => ({ user: 'x', principal: 'flood', session: 's', turn }));
    const line = asked.map((ask) => outcomeOf(rig.turn(ask)));
    await rig.settled();
    const ada = rig.turn({ user: 'ada', principal: 'ada', session: 's', turn: 1 });
    expect(await line[4]).toBe('overloaded');
    hold.release();
    expect(await Promise.all([outcome, ...line.slice(0, 4)])).toEqual([1, 2, 3, 4, 5]);
    expect((await ada).turn).toBe(1);
    expect(await rig.turn(asked[4] as Ask)).toMatchObject({ turn: 6, replayed: false });
    expect(rig.records('s').filter(({ record }) => record.userId === 'x')).toHaveLength(6);
    await expectIdle();
  });

  it('a turn whose client has left gives way as well', async () => {
    const { hold, outcome } = await heldTurn({ user: 'x', principal: 'flood', session: '0', turn: 1 });
    const gone = new AbortController();
    const flood = [1, 2, 3, 4, 5].map((at) =>
      outcomeOf(rig.turn({ user: 'x', principal: 'flood', session: `${at}`, turn: 1, gone: gone.signal })),
    );
    await rig.settled();
    gone.abort();
    const ada = rig.turn({ user: 'ada', principal: 'ada', session: 's', turn: 1 });
    expect(await flood[4]).toBe('overloaded');
    hold.release();
    await Promise.all([outcome, ada, ...flood]);
    await expectIdle();
  });
});

// Sends one turn many times: at once, later, after a restart, with everything changed that only says how to answer, and
// after failures in between. Each must cost one LLM call and leave one record, and all replies must be the same.
import { describe, expect, it } from 'vitest';
import type { TurnReply } from '../../../src/context-manager/turn/turn.ts';
import type { TipRepeat } from '../../../src/domain/session/turn-decision.ts';
import { type Ask, codeOf, contextManagerRig, type Rig } from '../../support/context-manager-rig.ts';

/** What two replies to one turn must have in common. */
function essence({ text, replyIds, stop, contextId, turn, mode, exact, basedOnTurn, droppedTurns }: TurnReply) {
  return { text, replyIds, stop, contextId, turn, mode, exact, basedOnTurn, droppedTurns };
}

function expectOneEffect(rig: Rig, replies: readonly TurnReply[], session = 's'): void {
  expect(new Set(replies.map((reply) => JSON.stringify(essence(reply)))).size).toBe(1);
  expect(replies.filter(({ replayed }) => !replayed)).toHaveLength(1);
  expect(rig.llm.generations.filter(({ end }) => end !== undefined)).toHaveLength(1);
  expect(rig.records(session)).toHaveLength(1);
}

describe('the same turn', () => {
  it('twenty times at once', async () => {
    const rig = await contextManagerRig();
    const replies = await Promise.all(Array.from({ length: 20 }, () => rig.turn({ session: 's', turn: 1 })));
    expectOneEffect(rig, replies);
  });

  it('later, and after a restart', async () => {
    const rig = await contextManagerRig();
    const replies = [await rig.turn({ session: 's', turn: 1 }), await rig.turn({ session: 's', turn: 1 })];
    rig.restart();
    replies.push(await rig.turn({ session: 's', turn: 1 }));
    expectOneEffect(rig, replies);
  });

  it('without a turn number, where it opens the session', async () => {
    const rig = await contextManagerRig();
    const replies = [
      await rig.turn({ session: 's' }),
      await rig.turn({ session: 's' }),
      await rig.turn({ session: 's', turn: 1 }),
    ];
    expectOneEffect(rig, replies);
  });

  it('when the session has gone on since', async () => {
    const rig = await contextManagerRig();
    const [first, second] = await rig.turns('s', { to: 5 });
    const again = [await rig.turn({ session: 's', turn: 1 }), await rig.turn({ session: 's', turn: 2 })];
    expect(again.map(essence)).toEqual([first, second].map((reply) => essence(reply as TurnReply)));
    expect(rig.llm.generations).toHaveLength(5);
  });

  const changes: Array<[string, Ask]> = [
    ['stream', { stream: true }],
    ['consistency', { consistency: 'available' }],
    ['max_wait_ms', { maxWaitMs: 5 }],
    ['time to live', { ttlSeconds: 5 }],
    ['overflow policy', { overflow: 'drop-oldest' }],
    ['key order of nested sampling parameters', { sampling: { seed: 1, logit: [{ a: 1, b: 2 }], temperature: 0.5 } }],
  ];
  it.each(changes)('with another %s', async (_name, change) => {
    const rig = await contextManagerRig();
    const sampling = { temperature: 0.5, logit: [{ b: 2, a: 1 }], seed: 1 };
    const replies = [
      await rig.turn({ session: 's', turn: 1, sampling }),
      await rig.turn({ session: 's', turn: 1, sampling, ...change }),
    ];
    expectOneEffect(rig, replies);
  });

  it('with the context_id it goes on from, or without', async () => {
    const rig = await contextManagerRig();
    const [opening] = await rig.turns('s', { to: 1 });
    const { contextId } = opening as TurnReply;
    const named = await rig.turn({ session: 's', turn: 2, contextId });
    const replays = [
      await rig.turn({ session: 's', turn: 2 }),
      await rig.turn({ session: 's', contextId }),
      await rig.turn({ session: 's', turn: 2, contextId }),
    ];
    expect(replays.map(essence)).toEqual(replays.map(() => essence(named)));
    expect(replays.every(({ replayed }) => replayed)).toBe(true);
    expect(rig.llm.generations).toHaveLength(2);
  });

  it('waits for one that is being answered, and takes over when that fails', async () => {
    const rig = await contextManagerRig();
    rig.llm.failNext('midway');
    rig.store.failNext('append');
    const outcomes = await Promise.allSettled(Array.from({ length: 4 }, () => rig.turn({ session: 's', turn: 1 })));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
    expect(rig.records('s')).toHaveLength(1);
    expect(await codeOf(rig.turn({ session: 's', turn: 1, text: 'other' }))).toBe('turn_conflict');
  });

  it('streams the whole reply of a replay', async () => {
    const rig = await contextManagerRig();
    const first = await rig.turn({ session: 's', turn: 1 });
    const seen: Array<[string, readonly number[]]> = [];
    await rig.turn({ session: 's', turn: 1, onPart: (text, ids) => void seen.push([text, ids]) });
    expect(seen).toEqual([[first.text, first.replyIds]]);
  });
});

describe('another request for a stored turn', () => {
  const others: Array<[string, Ask]> = [
    ['message', { text: 'other' }],
    ['system message', { system: 'be brief' }],
    ['sampling', { sampling: { temperature: 1 } }],
    ['limit', { maxTokens: 3 }],
    ['stop word', { stop: ['x'] }],
    ['mode', { mode: 'raw' }],
  ];
  it.each(others)('conflicts: another %s', async (_name, change) => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1 });
    expect(await codeOf(rig.turn({ session: 's', turn: 1, ...change }))).toBe('turn_conflict');
    expect(rig.llm.generations).toHaveLength(1);
    expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ basedOnTurn: 1 });
  });

  it('conflicts: a list where there was an object', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1, sampling: { logit_bias: { 0: 'a' } } });
    expect(await codeOf(rig.turn({ session: 's', turn: 1, sampling: { logit_bias: ['a'] } }))).toBe('turn_conflict');
  });

  it('conflicts when both are sent at once: the first wins', async () => {
    const rig = await contextManagerRig();
    const calls = [rig.turn({ session: 's', turn: 1 }), codeOf(rig.turn({ session: 's', turn: 1, text: 'other' }))];
    expect(await Promise.all(calls)).toEqual([expect.objectContaining({ replayed: false }), 'turn_conflict']);
  });

  it('has its own answer in another session and for another user', async () => {
    const rig = await contextManagerRig();
    const replies = [
      await rig.turn({ session: 's', turn: 1 }),
      await rig.turn({ session: 't', turn: 1 }),
      await rig.turn({ session: 's', turn: 1, user: 'bob' }),
    ];
    expect(replies.every(({ replayed }) => !replayed)).toBe(true);
    expect(new Set(replies.map(({ contextId }) => contextId)).size).toBe(3);
  });

  it('without a turn number, where the session is open, is asked for one', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's' });
    expect(await codeOf(rig.turn({ session: 's', text: 'other' }))).toBe('invalid_request');
  });
});

describe('a message at the tip', () => {
  const tip = (repeat: TipRepeat, text: string): Ask => ({ session: 's', place: { tip: repeat }, text });

  it('appends after whatever is last in the queue: none is lost, none conflicts', async () => {
    const rig = await contextManagerRig();
    const texts = Array.from({ length: 8 }, (_, index) => `message ${index % 4}`);
    const replies = await Promise.all(texts.map((text) => rig.turn(tip('new', text))));
    expect(replies.map(({ turn }) => turn)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(replies.map(({ text }) => text)).toEqual(texts.map((text, index) => `Turn ${index + 1}: ${text}`));
    expect(await rig.turn({ session: 's', turn: 9 })).toMatchObject({ basedOnTurn: 8 });
  });

  it('sent again while it is answered, and later, is the same turn', async () => {
    const rig = await contextManagerRig();
    await rig.turns('s', { to: 2 });
    const first = rig.turn(tip('new', 'yes'));
    const again = await Promise.all([first, rig.turn(tip('repeated', 'yes')), rig.turn(tip('repeated', 'yes'))]);
    expect(again.map(({ replayed }) => replayed)).toEqual([false, true, true]);
    expect(new Set(again.map(({ contextId }) => contextId)).size).toBe(1);
    rig.restart();
    expect(await rig.turn(tip('repeated', 'yes'))).toMatchObject({ turn: 3, replayed: true });
    expect(await rig.turn(tip('new', 'yes'))).toMatchObject({ turn: 4, replayed: false });
  });

  it('under a key is the same turn however far the session has gone on; another key is another message', async () => {
    const rig = await contextManagerRig();
    const said = await rig.turn(tip({ key: 'k' }, 'yes'));
    await rig.turns('s', { from: 2, to: 4 });
    expect(await rig.turn(tip({ key: 'k' }, 'yes'))).toMatchObject({ contextId: said.contextId, replayed: true });
    expect(await rig.turn(tip({ key: 'other' }, 'yes'))).toMatchObject({ turn: 5, replayed: false });
  });
});

// Conversations that clients send whole, and their place: never one that was not had so, always the longest that was, one
// effect for a request that comes again, a branch for one that is meant again. Tried with what clients change on the way, with
// equal conversations side by side, with requests that meet, and with turns that arrive while they are looked for.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeEach, describe, expect, it } from 'vitest';
import type { WholeConversation } from '../../../src/context-manager/sessions/conversations.ts';
import type { TurnReply } from '../../../src/context-manager/turn/turn.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { conversationsOf, digestAfter } from '../../../src/domain/record/conversation-digest.ts';
import type { Message } from '../../../src/domain/record/turn-record.ts';
import type { TipRepeat } from '../../../src/domain/session/turn-decision.ts';
import { FAMILIES } from '../../support/chat-templates/families.ts';
import { contextManagerRig, type Rig, replicaRig, requestOf } from '../../support/context-manager-rig.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await contextManagerRig();
});

const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });
const there = () => new AbortController().signal;

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

interface How {
  readonly sent?: TipRepeat;
  readonly gone?: AbortSignal;
  readonly at?: Rig;
  readonly more?: Partial<WholeConversation>;
}

function say(messages: readonly Message[], { sent = 'new', gone = there(), at = rig, more = {} }: How = {}) {
  const { sessionId: _s, place: _p, ...plain } = requestOf({});
  const whole: WholeConversation = { ...plain, messages, ...more };
  return at.manager.conversations.run(whole, sent, gone, (request) =>
    at.manager.takeTurn(request, { part: () => {}, gone }),
  );
}

/** A conversation of so many turns, as its client has it then. */
async function talk(turns: number, how: How = {}, messages: Message[] = []): Promise<[Message[], TurnReply]> {
  let reply: TurnReply | undefined;
  for (let turn = 1; turn <= turns; turn++) {
    messages.push(user(`message ${turn}`));
    reply = await say(messages, how);
    messages.push(assistant(reply.text));
  }
  return [messages, reply as TurnReply];
}

describe('a conversation goes on', () => {
  it('in one session, by the exact ids of what is stored, whatever its length', async () => {
    const [messages, last] = await talk(6);
    expect(last).toMatchObject({ turn: 6, basedOnTurn: 5 });
    const next = await say([...messages, user('more')]);
    expect(next).toMatchObject({ sessionId: last.sessionId, turn: 7, basedOnContext: last.contextId });
    // All but the last id of the reply before, which was not evaluated.
    expect(next.usage.cachedTokens).toBe(last.promptTokens + last.replyIds.length - 1);
    const { record } = rig.records(last.sessionId)[6] as ReturnType<Rig['records']>[0];
    expect(record.payload.mode === 'tokenized' && record.payload.spans.length).toBe(1);
  });

  it('with the tools that are told of this time, none where none are', async () => {
    const chatTemplate = FAMILIES.find(({ name }) => name === 'hermes-3-tools')?.source as string;
    const at = await contextManagerRig({ chatTemplate });
    const preamble = { instructions: undefined, tools: [{ name: 'weather', parameters: { type: 'object' } }] };
    const [messages, told] = await talk(1, { at, more: { preamble } });
    const plain = await talk(1, { at, more: { userId: 'other' as never } });
    const next = await say([...messages, user('more')], { at });
    expect(next).toMatchObject({ sessionId: told.sessionId, turn: 2 });
    const other = await say([...plain[0], user('more')], { at, more: { userId: 'other' as never } });
    expect(next.promptTokens).toBe(other.promptTokens);
    expect(told.promptTokens).toBeGreaterThan(plain[1].promptTokens);
  });

  it('after the last turn that its client has as it was answered', async () => {
    const [messages, last] = await talk(4);
    const edited = messages.with(7, assistant('what nobody said'));
    const next = await say([...edited, user('more')]);
    expect(next).toMatchObject({ sessionId: last.sessionId, turn: 4, basedOnTurn: 3 });
    const other = await say([user('what nobody asked'), ...messages.slice(1), user('more')]);
    expect(other).toMatchObject({ turn: 1, basedOnTurn: 0 });
    expect(other.sessionId).not.toBe(last.sessionId);
  });

  it('as a branch where its client goes back', async () => {
    const [messages, last] = await talk(3);
    const back = await say([...messages.slice(0, 4), user('another way')]);
    expect(back).toMatchObject({ sessionId: last.sessionId, turn: 3, basedOnTurn: 2 });
    const main = await say([...messages, user('and on')]);
    expect(main).toMatchObject({ sessionId: last.sessionId, turn: 4, basedOnContext: last.contextId });
    const branch = await say([...messages.slice(0, 4), user('another way'), assistant(back.text), user('on')]);
    expect(branch).toMatchObject({ turn: 4, basedOnContext: back.contextId });
  });

  it("never of somebody else's", async () => {
    const [messages, last] = await talk(2);
    const bob = { userId: 'bob' as typeof last.userId };
    expect(await say([...messages, user('more')], { more: bob })).toMatchObject({ turn: 1, basedOnTurn: 0 });
  });

  it('with messages in between that the node has not seen, in one turn', async () => {
    const [messages] = await talk(2);
    const next = await say([...messages, user('aside'), assistant('elsewhere'), user('back')]);
    expect(next).toMatchObject({ turn: 3, basedOnTurn: 2 });
  });

  it('in a new session, where a system message comes late', async () => {
    const [messages] = await talk(2);
    const late: Message = { role: 'system', content: 'Be brief.' };
    await expect(say([...messages, late, user('more')])).resolves.toMatchObject({ turn: 1 });
  });

  it('no more once it is deleted', async () => {
    const [messages, { userId, sessionId }] = await talk(2);
    await rig.manager.sessions.delete(userId, sessionId);
    const next = await say([...messages, user('more')]);
    expect(next.turn).toBe(1);
    expect(next.sessionId).not.toBe(sessionId);
  });

  it('opened with what was said elsewhere, from its first turn here on', async () => {
    const history = [user('a'), assistant('b'), user('c')];
    const first = await say(history);
    expect(first).toMatchObject({ turn: 1 });
    expect(await say([...history, assistant(first.text), user('d')])).toMatchObject({ turn: 2, basedOnTurn: 1 });
  });
});

describe('equal conversations side by side', () => {
  it('each have a session of their own, however many there are at once', async () => {
    const firsts = await Promise.all(Array.from({ length: 12 }, () => say([user('hi')])));
    expect(new Set(firsts.map(({ sessionId }) => sessionId)).size).toBe(12);
    const [{ text }] = firsts as [TurnReply];
    const seconds = await Promise.all(firsts.map(() => say([user('hi'), assistant(text), user('and?')])));
    expect(new Set(seconds.map(({ sessionId }) => sessionId)).size).toBe(12);
    expect(seconds.every(({ turn }) => turn === 2)).toBe(true);
  });
});

describe('a request that comes again', () => {
  it('without a mark is another branch, also of a first turn', async () => {
    const [messages, last] = await talk(2);
    await rig.environment.advance(1);
    const again = await say(messages.slice(0, 3));
    expect(again).toMatchObject({ replayed: false, turn: 2, sessionId: last.sessionId });
    expect(again.contextId).not.toBe(last.contextId);
    expect(await say(messages.slice(0, 1))).toMatchObject({ replayed: false, turn: 1 });
  });

  it.each([1, 2, 3])('as its client says, is answered from the record: turn %i', async (turns) => {
    const [messages, last] = await talk(turns);
    const calls = rig.llm.generations.length;
    const again = await say(messages.slice(0, -1), { sent: 'repeated' });
    expect(again).toMatchObject({ replayed: true, contextId: last.contextId, text: last.text });
    expect(rig.llm.generations).toHaveLength(calls);
  });

  it('and differs is no such', async () => {
    const [messages] = await talk(2);
    const warmer = { sampling: { temperature: 1 } };
    expect(await say(messages.slice(0, 3), { sent: 'repeated', more: warmer })).toMatchObject({ replayed: false });
    expect(await say(messages.slice(0, 1), { sent: 'repeated', more: warmer })).toMatchObject({ replayed: false });
  });

  it('of several choices each finds its own', async () => {
    const [messages] = await talk(1);
    const asked = [...messages, user('choose')];
    const choices = [say(asked), say(asked, { more: { choice: 1 } }), say(asked, { more: { choice: 2 } })];
    const first = await Promise.all(choices);
    expect(new Set(first.map(({ contextId }) => contextId)).size).toBe(3);
    for (const [choice, reply] of first.entries()) {
      const again = await say(asked, { sent: 'repeated', more: choice > 0 ? { choice } : {} });
      expect(again).toMatchObject({ replayed: true, contextId: reply.contextId });
    }
  });

  it.each([0, 2])('while the first is under way joins it, after %i turns', async (turns) => {
    const [messages] = turns === 0 ? [[]] : await talk(turns);
    const asked = [...messages, user('slow')];
    const hold = rig.llm.hold();
    const first = say(asked);
    await hold.entered;
    const second = say(asked, { sent: 'repeated' });
    await rig.settled();
    hold.release();
    const [one, two] = await Promise.all([first, second]);
    expect(two).toMatchObject({ replayed: true, contextId: one.contextId });
    expect(rig.llm.generations).toHaveLength(turns + 1);
  });

  it.each([0, 2])('because its client had left is the same turn, without a mark, after %i turns', async (turns) => {
    const [messages] = turns === 0 ? [[]] : await talk(turns);
    const asked = [...messages, user('lost')];
    const leaver = new AbortController();
    const hold = rig.llm.hold();
    const first = say(asked, { gone: leaver.signal });
    await hold.entered;
    leaver.abort(new Error('cut'));
    const during = say(asked);
    await rig.settled();
    hold.release();
    const [one, two] = await Promise.all([first, during]);
    expect(two).toMatchObject({ replayed: true, contextId: one.contextId });
    expect(await say(asked)).toMatchObject({ replayed: true, contextId: one.contextId });
    expect(await say(asked)).toMatchObject({ replayed: false });
  });

  it('is remembered by its place, and not by what was said', async () => {
    const said: Message[] = [user('a'.repeat(100)), assistant('b'), user('c')];
    const kept = said.map((message) => new WeakRef(message));
    const leaver = new AbortController();
    const hold = rig.llm.hold();
    const first = say(said.splice(0), { gone: leaver.signal });
    await hold.entered;
    leaver.abort(new Error('cut'));
    hold.release();
    const { contextId } = await first;
    await rig.settled();
    collectGarbage();
    expect(kept.map((message) => message.deref())).toEqual([undefined, undefined, undefined]);
    const again = await say([user('a'.repeat(100)), assistant('b'), user('c')]);
    expect(again).toMatchObject({ replayed: true, contextId });
  });

  it('under one key has one answer, however often, at once or later', async () => {
    const sent = { key: 'order-7' };
    const asked = [user('one pizza')];
    const all = await Promise.all([1, 2, 3].map(() => say(asked, { sent })));
    expect(new Set(all.map(({ contextId }) => contextId)).size).toBe(1);
    const [{ text }] = all as [TurnReply];
    const more = [...asked, assistant(text), user('and a salad')];
    const second = await say(more, { sent });
    expect(await say(more, { sent })).toMatchObject({ replayed: true, contextId: second.contextId });
    expect(await say(asked, { sent })).toMatchObject({ replayed: true, contextId: all[0]?.contextId });
    expect(await say(asked, { sent: { key: 'order-8' } })).toMatchObject({ replayed: false });
    expect(rig.llm.generations).toHaveLength(3);
  });

  it('after it has failed is answered then', async () => {
    rig.llm.failNext('at once');
    await expect(say([user('hi')])).rejects.toThrow(DiscedgeError);
    expect(await say([user('hi')], { sent: 'repeated' })).toMatchObject({ turn: 1, replayed: false });
  });
});

describe('a record', () => {
  it('is found by what was asked and by what was answered; a turn that was taken otherwise is not', async () => {
    const [[asked, answered], { sessionId }] = await talk(1);
    const [sealed] = rig.records(sessionId);
    const first = digestAfter(undefined, asked as Message);
    const whole = digestAfter(first, answered as Message);
    expect(conversationsOf(sealed?.record ?? {})).toEqual({ asked: first, answered: [whole] });
    await rig.turn({ session: 's', turn: 1 });
    expect(conversationsOf(rig.records('s')[0]?.record ?? {})).toBeUndefined();
  });
});

describe('at another node', () => {
  it('waits for the turn that it goes on from, for as long as that may be on its way', async () => {
    const here = await replicaRig();
    const [messages, last] = await talk(1);
    const sealed = rig.records(last.sessionId)[0] as ReturnType<Rig['records']>[0];
    const next = say([...messages, user('roamed')], { at: here, more: { maxWaitMs: 1_000 } });
    await here.settled();
    await here.store.arrive(sealed);
    expect(await next).toMatchObject({ sessionId: last.sessionId, turn: 2, basedOnContext: last.contextId });
  });

  it('and opens a session when it does not come', async () => {
    const here = await replicaRig();
    const [messages] = await talk(1);
    const next = say([...messages, user('roamed')], { at: here, more: { maxWaitMs: 1_000 } });
    await here.settled();
    await here.environment.advance(500);
    expect(await next).toMatchObject({ turn: 1, basedOnTurn: 0 });
  });
});

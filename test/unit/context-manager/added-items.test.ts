// Adds messages to sessions without a generation, before, between and beside turns, in both modes, and looks what the model
// reads then; goes on after answers by their own ids: on the main line, beside it, before they are here, and after they were
// removed. A prompt must never lose what was added nor have it twice.
import { beforeEach, describe, expect, it } from 'vitest';
import type { AddRequest } from '../../../src/context-manager/turn/added-items.ts';
import { type AnswerId, answerIdExtension } from '../../../src/domain/record/answer-id.ts';
import { removedAnswerExtension } from '../../../src/domain/record/removed-answer.ts';
import type { Message } from '../../../src/domain/record/turn-record.ts';
import { FAMILIES } from '../../support/chat-templates/families.ts';
import { codeOf, contextManagerRig, type Rig, replicaRig, textOf } from '../../support/context-manager-rig.ts';

const gone = new AbortController().signal;
const ID = '00000000000000a1' as AnswerId;
const OTHER = '00000000000000b2' as AnswerId;
const user = (content: string): Message => ({ role: 'user', content });
const add = (rig: Rig, fields: Partial<AddRequest>) =>
  rig.manager.add(
    {
      ...{ userId: 'ada' as never, sessionId: 's' as never, place: { tip: 'new' }, messages: [user('added')] },
      ...{ ttlSeconds: undefined, maxWaitMs: 0, ...fields },
    },
    gone,
  );
const show = async (rig: Rig) => (await rig.manager.sessions.show('ada' as never, 's' as never)).turns;
const promptText = (rig: Rig) => rig.llm.detokenize(rig.llm.generations.at(-1)?.prompt as never, { special: true });

let rig: Rig;
beforeEach(async () => {
  rig = await contextManagerRig();
});

const call = { type: 'tool-call' as const, callId: 'call_a', name: 'weather', arguments: '{}' };

it('a call is not added under a template that knows none, and the session goes on', async () => {
  await add(rig, { place: { opens: true } });
  expect(await codeOf(add(rig, { messages: [{ role: 'assistant', content: [call] }] }))).toBe('invalid_request');
  expect(await rig.turn({ session: 's', place: { tip: 'new' }, text: 'second' })).toMatchObject({ turn: 2 });
});

it('a result of a call that the session does not have is not added, and the session goes on', async () => {
  const chatTemplate = FAMILIES.find(({ name }) => name === 'hermes-3-tools')?.source as string;
  rig = await contextManagerRig({ chatTemplate });
  const result = (callId: string): Message => ({
    role: 'tool',
    content: [{ type: 'tool-result', callId, isError: false, output: 'rain' }],
  });
  await add(rig, { place: { opens: true }, messages: [user('first'), { role: 'assistant', content: [call] }] });
  await add(rig, { messages: [user('third')] });
  await add(rig, { messages: [result('call_a')] });
  expect(await codeOf(add(rig, { messages: [result('call_b')] }))).toBe('invalid_request');
  const late: Message = { role: 'assistant', content: [{ ...call, callId: 'call_b' }] };
  expect(await codeOf(add(rig, { messages: [result('call_b'), late] }))).toBe('invalid_request');
  await add(rig, { messages: [user('fourth')] });
  expect(await show(rig)).toHaveLength(4);
  expect(await rig.turn({ session: 's', place: { tip: 'new' }, text: 'fifth' })).toMatchObject({ turn: 5 });
});

describe.each(['tokenized', 'raw'] as const)('in mode %s, what is added without a generation', (mode) => {
  it('is read by the next turn, once, in its place, and is shown where it was added', async () => {
    await add(rig, { place: { opens: true }, messages: [user('first'), { role: 'assistant', content: 'noted' }] });
    const one = await rig.turn({ session: 's', place: { tip: 'new' }, text: 'second', mode });
    expect(one).toMatchObject({ turn: 2, mode });
    expect((await promptText(rig)).match(/first|noted|second/g)).toEqual(['first', 'noted', 'second']);
    await add(rig, { messages: [user('third')] });
    await add(rig, { messages: [user('fourth')] });
    await rig.turn({ session: 's', place: { tip: 'new' }, text: 'fifth' });
    const read = /first|noted|second|third|fourth|fifth/g;
    expect((await promptText(rig)).match(read)).toEqual(
      expect.arrayContaining(['first', 'noted', 'second', 'third', 'fourth', 'fifth']),
    );
    expect((await promptText(rig)).split('third')).toHaveLength(2);
    const held = rig.llm.generations.at(-1)?.prompt;
    rig.restart();
    await rig.turn({ session: 's', place: { tip: 'new' }, text: 'sixth' });
    if (mode === 'tokenized') expect(rig.llm.generations.at(-1)?.prompt?.slice(0, held?.length)).toEqual(held);
    const turns = await show(rig);
    expect(turns.map(({ turn }) => turn.record.payload.mode)).toEqual(['items', mode, 'items', 'items', mode, mode]);
    expect(textOf(turns[2] as never).messages).toEqual([user('third')]);
  });

  it('is no system message once something was answered: no turn could be taken after it', async () => {
    await add(rig, { place: { opens: true }, messages: [{ role: 'system', content: 'early' }, user('first')] });
    await rig.turn({ session: 's', place: { tip: 'new' }, text: 'second', mode });
    const late: Message = { role: 'system', content: 'late' };
    expect(await codeOf(add(rig, { messages: [late] }))).toBe('invalid_request');
    expect(await rig.turn({ session: 's', place: { tip: 'new' }, text: 'third' })).toMatchObject({ turn: 3 });
  });

  it('does not shift what is dropped from a full window', async () => {
    const small = await contextManagerRig({ scripted: { contextTokens: 400 }, options: { replyTokensDefault: 32 } });
    await add(small, { place: { opens: true }, messages: [user('begin')] });
    for (let turn = 0; turn < 12; turn++) {
      await add(small, { messages: [user(`note ${turn}`)] });
      const asked = { session: 's', place: { tip: 'new' }, text: `message ${turn}`, mode } as const;
      await small.turn({ ...asked, overflow: 'drop-oldest' });
      expect(await promptText(small)).toContain(`note ${turn}`);
      small.restart();
    }
    expect((await show(small)).at(-1)?.turn.record.contextStart).toBeGreaterThan(2);
  });
});

describe('a turn after an answer that is named by its own id', () => {
  const answer = (fields: object) => rig.turn({ session: 's', ...fields });
  const after = (afterAnswer: AnswerId, repeat: unknown = 'new') => ({ place: { afterAnswer, repeat } as never });
  beforeEach(() => answer({ turn: 1, extensions: answerIdExtension(ID) }));

  it('goes on from it, and once that has been done makes a branch', async () => {
    const one = await answer({ ...after(ID), text: 'one' });
    const two = await answer({ ...after(ID), text: 'one', extensions: answerIdExtension(OTHER) });
    expect([one.turn, two.turn, two.replayed]).toEqual([2, 2, false]);
    expect(two.basedOnContext).toBe(one.basedOnContext);
    expect(two.contextId).not.toBe(one.contextId);
  });

  it('is the turn that it repeats, where it says that it repeats one', async () => {
    const one = await answer({ ...after(ID), text: 'one' });
    expect(await answer({ ...after(ID, 'repeated'), text: 'one' })).toMatchObject({
      replayed: true,
      contextId: one.contextId,
    });
    expect(await answer({ ...after(ID, 'repeated'), text: 'two' })).toMatchObject({ replayed: false, turn: 2 });
    const keyed = await answer({ ...after(ID, { key: 'k' }), text: 'one' });
    expect(keyed.replayed).toBe(false);
    expect(await answer({ ...after(ID, { key: 'k' }), text: 'one' })).toMatchObject({
      replayed: true,
      contextId: keyed.contextId,
    });
  });

  it('is refused where no such answer is or can come, and after it was removed, which leaves what came after it', async () => {
    expect(await codeOf(answer(after(OTHER)))).toBe('session_not_found');
    const next = await answer({ ...after(ID), extensions: answerIdExtension(OTHER) });
    await add(rig, { ...after(ID), messages: [], extensions: removedAnswerExtension(ID) } as never);
    rig.restart();
    expect(await codeOf(answer(after(ID)))).toBe('session_not_found');
    expect(await answer(after(OTHER))).toMatchObject({ turn: 3, basedOnContext: next.contextId });
  });

  it('waits for one that is on its way from another node', async () => {
    const [a, b] = [await replicaRig(), await replicaRig()];
    await a.turn({ session: 's', turn: 1 });
    await a.turn({ session: 's', turn: 2, extensions: answerIdExtension(ID) });
    await b.store.arrive(a.store.appended[0] as never);
    const waiting = b.turn({ session: 's', ...after(ID) });
    await b.settled();
    await b.store.arrive(a.store.appended[1] as never);
    expect(await waiting).toMatchObject({ turn: 3, basedOnTurn: 2 });
    const stale = codeOf(b.turn({ session: 's', ...after(OTHER), maxWaitMs: 0 }));
    expect(await stale).toBe('context_stale');
  });
});

// Asks for sessions in every way a user may, and for those of others: nothing of another user's session may show, not even
// that it exists. A shown session must be what was said, in both modes; a deleted one must stay deleted.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Sessions } from '../../../src/context-manager/sessions/sessions.ts';
import type { ContextId, KeygroupId, TurnNumber } from '../../../src/domain/identifiers.ts';
import type { MovedTo } from '../../../src/domain/record/moved-to.ts';
import { codeOf, contextManagerRig, errorOf, type Rig, textOf } from '../../support/context-manager-rig.ts';

const ADA = 'ada' as never;
const BOB = 'bob' as never;
const id = (session: string) => session as never;

let rig: Rig;
let sessions: Sessions;
beforeEach(async () => {
  rig = await contextManagerRig({
    scripted: { reply: (prompt) => `said ${prompt.split('<|im_start|>user\n').length - 1}` },
  });
  sessions = rig.manager.sessions;
  await rig.turns('mine', { to: 3 });
  await rig.turns('his', { to: 2, user: 'bob' });
});

describe("another user's session", () => {
  it('looks like no session', async () => {
    const his = [
      () => sessions.show(ADA, id('his')),
      () => sessions.delete(ADA, id('his')),
      () => rig.turn({ session: 'his', turn: 3 }),
    ];
    const nobodys = [
      () => sessions.show(ADA, id('nobody')),
      () => sessions.delete(ADA, id('nobody')),
      () => rig.turn({ session: 'nobody', turn: 3 }),
    ];
    for (const [index, call] of his.entries()) {
      const error = await errorOf(call());
      expect(error).toMatchObject({ code: 'session_not_found' });
      expect(error.message).toBe((await errorOf((nobodys[index] as typeof call)())).message);
    }
    expect((await sessions.show(BOB, id('his'))).turns).toHaveLength(2);
  });

  it('turn 1 under its id opens a session of one’s own, with nothing of the other in it', async () => {
    const context = (await sessions.show(BOB, id('his'))).tips[0]?.hash;
    expect(await rig.turn({ session: 'his', turn: 1 })).toMatchObject({ turn: 1, userId: 'ada', replayed: false });
    expect(rig.llm.generations.at(-1)?.end?.text).toBe('said 1');
    expect(await codeOf(rig.turn({ session: 'his', turn: 3, contextId: context }))).toBe('invalid_request');
    await sessions.delete(ADA, id('his'));
    expect((await sessions.show(BOB, id('his'))).turns).toHaveLength(2);
  });
});

describe('list', () => {
  it('names one’s own sessions, in pages, without deleted and expired ones', async () => {
    for (const session of ['b', 'a', 'c']) await rig.turn({ session, turn: 1 });
    await rig.turn({ session: 'short', turn: 1, ttlSeconds: 1 });
    await rig.turn({ session: 'gone', turn: 1 });
    await sessions.delete(ADA, id('gone'));
    await rig.environment.advance(1000);
    const page = await sessions.list({ userId: ADA, after: undefined, limit: 2 });
    expect(page.sessions.map(({ key }) => key.sessionId)).toEqual(['a', 'b']);
    expect(page.next?.sessionId).toBe('b');
    const rest = await sessions.list({ userId: ADA, after: id('b'), limit: 10 });
    expect(rest.sessions.map(({ key, turns, mode }) => [key.sessionId, turns, mode])).toEqual([
      ['c', 1, 'tokenized'],
      ['mine', 3, 'tokenized'],
    ]);
    expect(rest.next).toBeUndefined();
    const nobody = await sessions.list({ userId: id('nobody'), after: undefined, limit: 10 });
    expect(nobody).toEqual({ sessions: [], next: undefined });
  });
});

describe('show', () => {
  it.each(['tokenized', 'raw'] as const)('%s: what was said, word for word', async (mode) => {
    const said = ['<|im_end|> é🤖', ' spaces ', 'two\nlines'];
    for (const [index, text] of said.entries()) {
      const system = index === 0 ? 'be <|im_start|> brief' : undefined;
      await rig.turn({ session: 's', turn: index + 1, mode, text, ...(system === undefined ? {} : { system }) });
    }
    rig.restart();
    const view = await rig.manager.sessions.show(ADA, id('s'));
    expect(view).toMatchObject({ mode, corruptRecords: 0, expiresAtMs: rig.environment.clock.now() + 3_600_000 });
    expect(view.turns.map((read) => textOf(read).messages)).toEqual([
      [
        { role: 'system', content: 'be <|im_start|> brief' },
        { role: 'user', content: said[0] },
      ],
      [{ role: 'user', content: said[1] }],
      [{ role: 'user', content: said[2] }],
    ]);
    expect(view.turns.map((read) => textOf(read).reply)).toEqual(['said 1', 'said 2', 'said 3']);
    expect(view.tips).toEqual([view.turns.at(-1)?.turn]);
  });

  it('counts damaged records', async () => {
    rig.store.corrupt = 2;
    rig.restart();
    expect(await rig.manager.sessions.show(ADA, id('mine'))).toMatchObject({ corruptRecords: 2 });
  });
});

describe('delete', () => {
  it('is final, now and after a restart', async () => {
    await sessions.delete(ADA, id('mine'));
    for (let round = 0; round < 2; round++) {
      const calls = [
        rig.manager.sessions.show(ADA, id('mine')),
        rig.manager.sessions.delete(ADA, id('mine')),
        rig.turn({ session: 'mine', turn: 4 }),
        rig.turn({ session: 'mine', turn: 1 }),
        rig.turn({ session: 'mine' }),
        rig.turn({ session: 'mine', contextId: 'f'.repeat(32) }),
      ];
      expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => 'session_deleted'));
      rig.restart();
    }
  });

  it('is idempotent when asked for twice at once', async () => {
    const outcomes = await Promise.allSettled([sessions.delete(ADA, id('mine')), sessions.delete(ADA, id('mine'))]);
    expect(outcomes[0]?.status).toBe('fulfilled');
    expect(await codeOf(sessions.show(ADA, id('mine')))).toBe('session_deleted');
  });

  it.each([
    ['is read for it', () => rig.store.hold('read')],
    ['is generated', () => rig.llm.hold()],
    ['has been generated', () => rig.llm.holdEnd()],
    ['is about to be stored', () => rig.store.hold('append')],
    ['has been stored', () => rig.store.hold('appended')],
  ])('of a session whose first turn %s: it does not exist afterwards', async (_name, holdAt) => {
    const hold = holdAt();
    const opening = rig.turn({ session: 'new', turn: 1 }).catch(({ code }) => code);
    await hold.entered;
    const deleting = rig.manager.sessions.delete('ada' as never, 'new' as never);
    await rig.settled();
    hold.release();
    await deleting;
    await opening;
    expect(await codeOf(rig.manager.sessions.show('ada' as never, 'new' as never))).toBe('session_deleted');
    expect(await codeOf(rig.turn({ session: 'new', turn: 1 }))).toBe('session_deleted');
  });

  it('leaves no turn in the store', async () => {
    const before = await rig.store.status();
    await sessions.delete(ADA, id('mine'));
    expect(await rig.store.status()).toMatchObject({ sessions: before.sessions - 1, records: before.records - 2 });
  });
});

describe('a session without an id', () => {
  it('gets a new one', async () => {
    const replies = [await rig.turn({}), await rig.turn({})];
    const ids = replies.map(({ sessionId }) => sessionId as string);
    expect(new Set(ids).size).toBe(2);
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-/);
    expect(await rig.turn({ session: ids[0], turn: 2 })).toMatchObject({ turn: 2 });
  });

  it('cannot go on from anything', async () => {
    expect(await codeOf(rig.turn({ turn: 2 }))).toBe('invalid_request');
    expect(await codeOf(rig.turn({ contextId: 'f'.repeat(32) }))).toBe('invalid_request');
  });
});

/** As every field of it is told elsewhere. */
const MOVED_TO: MovedTo = {
  keygroup: 'ab'.repeat(8) as KeygroupId,
  sessionId: id('ünlike'),
  from: { turn: 4 as TurnNumber, contextId: 'cd'.repeat(16) as ContextId },
  to: { turn: 3 as TurnNumber, contextId: 'ef'.repeat(16) as ContextId },
  droppedTurns: 1,
  notCarried: ['exact_ids', 'kv_state'],
};

describe('deleted as it was read', () => {
  it('it is kept where the turn under way is stored, and deleted with all that has been read', async () => {
    const read = await sessions.show(ADA, id('mine'));
    const hold = rig.llm.hold();
    const taking = rig.turn({ session: 'mine', turn: 4 });
    await hold.entered;
    const gone = new AbortController();
    const deleting = sessions.deleteMoved(read, MOVED_TO, gone.signal);
    hold.release();
    await taking;
    expect(await deleting).toBe(false);
    const whole = await sessions.show(ADA, id('mine'));
    expect(whole.turns).toHaveLength(4);
    expect(await sessions.movedTo(ADA, id('mine'))).toEqual([]);
    expect(await sessions.deleteMoved(whole, MOVED_TO, gone.signal)).toBe(true);
    expect(await sessions.movedTo(ADA, id('mine'))).toEqual([MOVED_TO]);
    expect(await codeOf(rig.turn({ session: 'mine', turn: 5 }))).toBe('session_deleted');
    expect(await sessions.deleteMoved(whole, MOVED_TO, gone.signal)).toBe(true);
  });

  it('whoever leaves meanwhile has deleted nothing', async () => {
    const read = await sessions.show(ADA, id('mine'));
    const hold = rig.llm.hold();
    const taking = rig.turn({ session: 'mine', turn: 4 });
    await hold.entered;
    const gone = new AbortController();
    const deleting = sessions.deleteMoved(read, MOVED_TO, gone.signal);
    gone.abort(new Error('left'));
    await expect(deleting).rejects.toThrow('left');
    hold.release();
    await taking;
    expect((await sessions.show(ADA, id('mine'))).turns).toHaveLength(4);
  });
});

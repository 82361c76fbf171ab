// What is exported comes back: the same texts and ids, branches and all, and the next turn reads what it would have read. What was
// changed on the way, or belongs elsewhere, does not come in, and takes nobody's place.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RequestDigest, TurnNumber } from '../../../src/domain/identifiers.ts';
import { openRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { beginsWithExtension } from '../../../src/domain/record/summary.ts';
import type { AnsweredRecord, TurnRecord } from '../../../src/domain/record/turn-record.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

const exported = async (id: string, user = 'anonymous') =>
  (await node.get(`/sessions/${encodeURIComponent(id)}/export?user_id=${user}`)).body;
const imported = (session: Json, query = '') => node.post(`/sessions/import${query}`, session);

/** What says the same before and after: all but when it ends, where it is, and the names of its histories. */
function said({ mode, turns, branches }: Json): Json {
  const turn = ({ turn, system, user, messages, reply, prompt_ids, reply_ids, exact_ids, written_at }: Json) => ({
    ...{ turn, system, user, messages, reply, prompt_ids, reply_ids, exact_ids, written_at },
  });
  const branch = ({ turns: own, parts_after }: Json) => ({ parts_after, turns: own.map(turn) });
  const byText = (a: Json, b: Json) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  // Which of two equally deep branches is the main line hangs on the names.
  return { mode, lines: [{ parts_after: 0, turns: turns.map(turn) }, ...branches.map(branch)].sort(byText) };
}

let sessions = 0;
const prompts = fc.array(fc.record({ prompt: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }) }), {
  minLength: 1,
  maxLength: 5,
});

it('every session, in either mode, and goes on as if it had never been away', async () => {
  await fc.assert(
    fc.asyncProperty(prompts, fc.constantFrom('tokenized', 'raw'), fc.boolean(), async (turns, mode, hasSystem) => {
      const [session_id, back] = [`s${sessions}`, `back${sessions++}`];
      for (const [index, { prompt }] of turns.entries()) {
        const system = hasSystem && index === 0 ? { system: 'Be brief.' } : {};
        await node.turn({ prompt, session_id, turn: index + 1, mode, n_predict: 12, ...system });
      }
      const before = await exported(session_id);
      const answer = await imported(before, `?as=${back}`);
      expect(answer.status, answer.text).toBe(200);
      expect(answer.body).toMatchObject({ session_id: back, turns: turns.length, turn: turns.length, replayed: false });
      expect(said(await exported(back))).toEqual(said(before));
      const next = { prompt: 'And then?', turn: turns.length + 1, seed: 1 };
      const there = await node.turn({ ...next, session_id, context_id: before.context_id });
      const here = await node.turn({ ...next, session_id: back, context_id: answer.body.context_id });
      expect(here.content).toBe(there.content);
      expect((await exported(back)).turns.at(-1).prompt_ids).toEqual(
        (await exported(session_id)).turns.at(-1).prompt_ids,
      );
    }),
    { numRuns: 25, seed: 15 },
  );
});

it('with its branches, and once however often it is sent', async () => {
  for (const turn of [1, 2]) await node.turn({ prompt: `${turn}`, session_id: 'tree', turn });
  const line = await exported('tree');
  // As another node has answered turn 2 while this one could not be reached.
  const { record } = openRecord(Buffer.from(line.turns[1].record, 'base64'));
  const beside = sealRecord({ ...(record as TurnRecord), requestDigest: '0123456789abcdef' as RequestDigest });
  const branch = { context_id: beside.hash, record: Buffer.from(beside.bytes).toString('base64') };
  await imported({ ...line, branches: [{ turns: [branch] }] }, '?as=grown');
  const before = await exported('grown');
  expect(before.branches).toHaveLength(1);
  const first = await imported(before, '?as=tree-again');
  expect(first.body).toMatchObject({ turns: 3, turn: 2, replayed: false });
  expect((await imported(before, '?as=tree-again')).body).toEqual({ ...first.body, replayed: true });
  expect(said(await exported('tree-again'))).toEqual(said(before));
});

it('for another user, who is the only one to see it, and for as long as is said', async () => {
  await node.turn({ prompt: 'mine', session_id: 'given', user_id: 'ann' });
  const before = await exported('given', 'ann');
  const { body } = await imported(before, '?user_id=bob&ttl_seconds=60');
  expect(body).toMatchObject({ user_id: 'bob', session_id: 'given' });
  expect(Date.parse(body.expires_at) - Date.now()).toBeLessThan(61_000);
  expect((await node.get('/sessions/given?user_id=bob')).status).toBe(200);
  expect((await node.request('DELETE', '/sessions/given?user_id=bob')).status).toBe(200);
  expect((await node.get('/sessions/given?user_id=ann')).status).toBe(200);
  expect((await imported(before, '?user_id=bob')).body.error.type).toBe('session_deleted');
});

it('of a user as a whole, after everything of it was erased', async () => {
  const words = ['one', 'two', 'three'];
  for (const session_id of words)
    for (const [index, prompt] of words.entries())
      await node.turn({ prompt, session_id, turn: index + 1, user_id: 'whole' });
  const all = (await node.get('/users/whole/export')).body;
  expect(all.sessions.map(({ session_id }: Json) => session_id)).toEqual(['one', 'three', 'two']);
  for (const session of all.sessions)
    expect(session).toEqual({ model: 'scripted', ...(await exported(session.session_id, 'whole')) });
  await node.request('DELETE', '/users/whole');
  expect((await node.get('/users/whole/export')).body.sessions).toEqual([]);
  for (const session of all.sessions) expect((await imported(session, '?user_id=whole')).status).toBe(200);
  const back = (await node.get('/users/whole/export')).body;
  expect(back.sessions.map(said)).toEqual(all.sessions.map(said));
  await node.turn({ prompt: 'four', session_id: 'one', turn: 4, user_id: 'whole' });
});

it('unless it was changed, or is of another model, or another session has its id', async () => {
  for (const turn of [1, 2]) await node.turn({ prompt: 'My name is Ada.', session_id: 'kept', turn });
  const good = await exported('kept');
  const [first, second] = good.turns;
  const flipped = Buffer.from(second.record, 'base64');
  flipped[flipped.length - 9] = (flipped.at(-9) as number) ^ 1;
  const changed: readonly (readonly [Json, string])[] = [
    [{ ...good, turns: [first, { ...second, reply: 'Something else.' }] }, 'turns'],
    [{ ...good, turns: [{ ...first, prompt_ids: [...first.prompt_ids].reverse() }, second] }, 'turns'],
    [{ ...good, turns: [first, { ...second, record: flipped.toString('base64') }] }, 'turns'],
    [{ ...good, turns: [first, { ...second, record: first.record }] }, 'turns'],
    [{ ...good, turns: [second] }, 'turns'],
    [{ ...good, turns: [second, first] }, 'turns'],
    [{ ...good, turns: [first, first] }, 'turns'],
    [{ ...good, turns: [] }, 'turns'],
    [{ ...good, turns: [{ ...first, record: 'AAAA' }] }, 'turns'],
  ];
  for (const [body, param] of changed) {
    const answer = await imported(body, '?as=changed');
    expect([answer.status, answer.body.error.type], answer.text).toEqual([400, 'invalid_request']);
    expect(answer.body.error.param).toContain(param);
  }
  expect((await imported({ ...good, keygroup: '0123456789abcdef' })).body.error.type).toBe('model_not_found');
  expect((await node.get('/sessions/changed')).status).toBe(404);
  await node.turn({ prompt: 'Somebody else.', session_id: 'taken' });
  const taken = await imported(good, '?as=taken');
  expect([taken.status, taken.body.error.type]).toEqual([412, 'session_exists']);
  expect((await exported('taken')).turns).toHaveLength(1);
  expect((await exported('kept')).turns).toEqual(good.turns);
});

it('nor made up so that no conversation could have written it: with a gap, or in two modes', async () => {
  for (const turn of [1, 2]) await node.turn({ prompt: 'Hello.', session_id: 'whole', turn });
  const good = await exported('whole');
  const [first, second] = good.turns;
  const { record } = openRecord(Buffer.from(second.record, 'base64')) as { record: TurnRecord };
  const raw = { mode: 'raw', messages: [{ role: 'user', content: 'Hello.' }], reply: 'Hello.' } as const;
  for (const change of [{ turn: 4_000_000_000 as TurnNumber }, { turn: 3 as TurnNumber }, { payload: raw }]) {
    const sealed = sealRecord({ ...record, ...change });
    const forged = { context_id: sealed.hash, record: Buffer.from(sealed.bytes).toString('base64') };
    const answer = await imported({ ...good, turns: [first, forged] }, '?as=forged');
    expect([answer.status, answer.body.error.param], JSON.stringify(change)).toEqual([400, 'turns']);
  }
  expect((await node.get('/sessions/forged')).status).toBe(404);
});

it('a summary that is none of its own context counts for nothing', async () => {
  for (const turn of [1, 2, 3]) await node.turn({ prompt: `${turn}`, session_id: 'summed', turn });
  const before = await exported('summed');
  const { record } = openRecord(Buffer.from(before.turns[2].record, 'base64'));
  const { payload } = record as TurnRecord;
  const raw = { mode: 'raw', messages: [{ role: 'user', content: 'x' }], reply: 'y' } as const;
  for (const [as, through, absent, of] of [
    ['of-another-mode', 2, 0, raw],
    ['of-later-turns', 1_000, 0, payload as AnsweredRecord['payload']],
    ['of-no-turns', 2, 2, payload as AnsweredRecord['payload']],
  ] as const) {
    const begins = beginsWithExtension({
      through: through as TurnNumber,
      absent,
      payload: of,
      stop: { kind: 'end' },
    });
    const made = sealRecord({ ...(record as TurnRecord), contextStart: 3 as TurnNumber, extensions: begins });
    const last = { context_id: made.hash, record: Buffer.from(made.bytes).toString('base64') };
    const answer = await imported({ ...before, turns: [...before.turns.slice(0, 2), last] }, `?as=${as}`);
    expect(answer.status, answer.text).toBe(200);
    const next = await node.turn({ prompt: 'And?', session_id: as, turn: 4 });
    expect(next).toMatchObject({ dropped_turns: 2 });
    expect(next).not.toHaveProperty('summarized_turns');
  }
});

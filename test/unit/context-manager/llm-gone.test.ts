// Reads what is stored while the LLM Service is gone, and tries to lose a reply, a whole session or the reader's time to it.
import { beforeEach, describe, expect, it } from 'vitest';
import { TurnTexts } from '../../../src/context-manager/sessions/turn-texts.ts';
import { codeOf, contextManagerRig, type Rig, textOf } from '../../support/context-manager-rig.ts';

let rig: Rig;
const show = () => rig.manager.sessions.show('ada' as never, 's' as never);

beforeEach(async () => {
  rig = await contextManagerRig();
});

describe('an LLM Service that is gone, and with it what puts ids into words', () => {
  it('takes no turn from a session: each says why it has no text, and has its ids', async () => {
    const [first] = await rig.turns('s', { to: 3 });
    rig.llm.isGone = true;
    const asked = rig.llm.tokenizations;
    const { turns, tips } = await show();
    expect(turns.map(({ text }) => text)).toMatchObject([1, 2, 3].map(() => ({ code: 'llm_unavailable' })));
    expect(turns[0]?.turn.record.payload).toMatchObject({ replyIds: first?.replyIds });
    expect(tips).toHaveLength(1);
    expect(rig.llm.tokenizations - asked).toBe(1);
    rig.llm.isGone = false;
    expect((await show()).turns.map(textOf)).toMatchObject([
      { reply: 'Turn 1: hello' },
      { reply: 'Turn 2: hello' },
      { reply: 'Turn 3: hello' },
    ]);
  });

  it('takes nothing from raw turns, which are kept as text, nor from their replays', async () => {
    const [first] = await rig.turns('s', { to: 2, mode: 'raw' });
    rig.llm.isGone = true;
    expect((await show()).turns.map(textOf)).toMatchObject([{ reply: 'Turn 1: hello' }, { reply: 'Turn 2: hello' }]);
    const replay = await rig.turn({ session: 's', turn: 1, mode: 'raw' });
    expect(replay).toMatchObject({ replayed: true, text: first?.text, replyIds: [], exact: false });
  });

  it('fails a next turn, and stores nothing of it', async () => {
    await rig.turns('s', { to: 1 });
    rig.llm.isGone = true;
    expect(await codeOf(rig.turn({ session: 's', turn: 2 }))).toBe('llm_unavailable');
    rig.llm.isGone = false;
    expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ turn: 2, replayed: false });
  });
});

it('a long session that is read lets others have their turn in between', async () => {
  const texts = new TurnTexts({
    raw: { read: async () => ({ messages: [], reply: '', replyIds: [], exact: true }) },
  } as never);
  const turn = { record: { payload: { mode: 'raw' } } } as never;
  let others = 0;
  const other = () => {
    others++;
    if (others < 10) setImmediate(other);
  };
  setImmediate(other);
  for (let n = 0; n < 1_000; n++) await texts.of(turn);
  expect(others).toBe(10);
});

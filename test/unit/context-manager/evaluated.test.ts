// A prompt that is evaluated ahead of its turn. Tries to have the session's context folded again for the turn that follows, to
// have something of the evaluated prompt left in it, or in the KV cache once nobody comes back for it, and, where the window is nearly full,
// to have other ids evaluated than its turn begins with, a summary made for no turn, or a turn refused that would be taken.
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SUMMARY_REQUEST } from '../../../src/context-manager/modes/summary-request.ts';
import { TokenContext } from '../../../src/context-manager/modes/token-context.ts';
import { OVERFLOW_POLICIES } from '../../../src/domain/session/context-window.ts';
import { type Ask, codeOf, contextManagerRig, type Rig, requestOf } from '../../support/context-manager-rig.ts';
import { textOf } from '../../support/probed-llm.ts';

afterEach(() => vi.restoreAllMocks());

const written = (opening: string) =>
  `${opening}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' }}{% endfor %}` +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const TEMPLATES = {
  append: undefined,
  follow: written('').replace("m.role + '\\n'", "m.role + (' new' if loop.last else '') + '\\n'"),
  rewrite: written("{{ '' ~ (messages | length) }}"),
};

describe.each(Object.entries(TEMPLATES))('a template of class %s', (_class, chatTemplate) => {
  const rigOf = () => contextManagerRig(chatTemplate === undefined ? {} : { chatTemplate });

  it('the turn that follows finds the context folded, and has the prompt that it would have had', async () => {
    const [rig, plain] = [await rigOf(), await rigOf()];
    await rig.turns('s', { to: 3 });
    await plain.turns('s', { to: 3 });
    const folds = vi.spyOn(TokenContext, 'of');
    for (const text of ['another one, and longer than what is asked', 'next', 'next']) {
      await rig.evaluate({ session: 's', turn: 4, text });
    }
    const reply = await rig.turn({ session: 's', turn: 4, text: 'next' });
    expect(folds).not.toHaveBeenCalled();
    const expected = await plain.turn({ session: 's', turn: 4, text: 'next' });
    expect(rig.llm.generations.at(-1)?.prompt).toEqual(plain.llm.generations.at(-1)?.prompt);
    expect(reply.rewrittenTokens).toBe(expected.rewrittenTokens);
    await rig.turn({ session: 's', turn: 5 });
    await plain.turn({ session: 's', turn: 5 });
    expect(rig.llm.generations.at(-1)?.prompt).toEqual(plain.llm.generations.at(-1)?.prompt);
  });
});

it('turns that were left out for it are there for a turn that asks for all of them', async () => {
  const rig = await contextManagerRig({ scripted: { contextTokens: 400 } });
  await rig.turns('s', { to: 3, text: 'x'.repeat(40), maxTokens: 20 });
  const long = { session: 's', turn: 4, text: 'y'.repeat(150), maxTokens: 20 };
  expect(await rig.evaluate({ ...long, overflow: 'drop-oldest' })).toMatchObject({ droppedTurns: expect.any(Number) });
  expect(await codeOf(rig.turn({ ...long, overflow: 'error' }))).toBe('context_overflow');
  const short = { session: 's', turn: 4, text: 'y', maxTokens: 20 };
  await rig.evaluate({ ...long, overflow: 'drop-oldest' });
  expect(await rig.turn(short)).toMatchObject({ droppedTurns: 0 });
});

it('a draft that is answered leaves nothing in the KV cache where it would open a session, and what a turn follows on stays', async () => {
  const rig = await contextManagerRig({ forgetsStates: true });
  await rig.turn({ session: 's', turn: 1 });
  const forget = vi.spyOn(rig.llm.warming, 'forget');
  const observer = () => ({ part: () => {}, gone: new AbortController().signal });
  await rig.manager.draft(requestOf({ session: 's', turn: 2 }), observer());
  await rig.evaluate({ session: 'typed', turn: 1 });
  expect(forget).not.toHaveBeenCalled();
  await rig.manager.draft(requestOf({ session: 'drawn', turn: 1 }), observer());
  rig.llm.failNext('midway');
  expect(await codeOf(rig.manager.draft(requestOf({ session: 'failed', turn: 1 }), observer()))).toBe(
    'llm_unavailable',
  );
  const names = forget.mock.calls.map(([affinity]) => affinity.split('\n').at(-1));
  expect(names).toEqual(['drawn', 'failed']);
});

describe.each(['tokenized', 'raw'] as const)('near the end of the window, %s', (mode) => {
  const WINDOW = 3_200;
  const REPLY = 400;
  const reply = (prompt: string) => (prompt.includes(SUMMARY_REQUEST, prompt.length - 320) ? 'a summary' : 'reply');
  const begun = async (): Promise<Rig> => {
    const rig = await contextManagerRig({ scripted: { contextTokens: WINDOW, reply } });
    // Under another policy, no summary is made ahead of need.
    await rig.turns('s', { to: 3, text: 'what was said '.repeat(40), maxTokens: REPLY, mode });
    return rig;
  };
  /** What a turn has the model read, in order, and what it is refused with. */
  const taken = async (rig: Rig, ask: Ask) => {
    const before = rig.llm.generations.length;
    const code = await rig.turn({ ...ask, maxTokens: REPLY }).then(
      () => undefined,
      (error) => error.code,
    );
    return { prompts: rig.llm.generations.slice(before).map(textOf), code };
  };

  it.each(OVERFLOW_POLICIES)(
    'under %s a draft evaluates what its turn begins with, and changes nothing',
    async (overflow) => {
      const seen = new Set<string>();
      const property = async (length: number) => {
        const ask: Ask = { session: 's', turn: 4, text: `what was said? ${'w'.repeat(length)}`, overflow };
        const [rig, plain] = [await begun(), await begun()];
        const stored = rig.store.appended.length;
        const generated = rig.llm.generations.length;
        await rig.evaluate({ ...ask, maxTokens: 0 }).catch((error) => expect(error.code).toBe('context_overflow'));
        const drafted = rig.llm.generations.slice(generated);
        expect(rig.store.appended).toHaveLength(stored);
        expect(drafted.every(({ end }) => end?.ids.length === 0)).toBe(true);
        const turn = await taken(rig, ask);
        expect(turn).toEqual(await taken(plain, ask));
        if (turn.code === undefined) expect(drafted.map(textOf)).toEqual(turn.prompts.slice(0, 1));
        seen.add(turn.code ?? `after ${turn.prompts.length}`);
      };
      const lengths = fc.integer({ min: 1, max: WINDOW });
      await fc.assert(fc.asyncProperty(lengths, property), {
        numRuns: 15,
        examples: [[1], [900], [1_200], [2_700], [3_100]],
      });
      const refused = 'context_overflow';
      const kinds = overflow === 'summarize' ? ['after 1', 'after 2', refused] : ['after 1', refused];
      expect([...seen].sort()).toEqual(kinds);
    },
  );
});

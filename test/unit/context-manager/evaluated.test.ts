// A prompt that is evaluated ahead of its turn. Tries to have the session's context folded again for the turn that follows, and
// to have something of the evaluated prompt left in it, or in the KV cache once nobody comes back for it.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TokenContext } from '../../../src/context-manager/modes/token-context.ts';
import { codeOf, contextManagerRig, requestOf } from '../../support/context-manager-rig.ts';

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
  const rig = await contextManagerRig();
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

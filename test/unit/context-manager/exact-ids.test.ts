// Tries to make the model read anything but the exact ids it read and wrote before: messages and replies full of
// control-token text, bytes of half characters, replies cut by limit or stop word, contexts evicted from the cache,
// restarts, failures and other sessions in between; and to make it read on from what its client was not shown. What must be read is written down by an oracle that knows only ChatML.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TurnReply } from '../../../src/context-manager/turn/turn.ts';
import { commonPrefixLength } from '../../../src/domain/token-sequence.ts';
import { chatmlIds } from '../../support/chatml-oracle.ts';
import { contextManagerRig, textOf } from '../../support/context-manager-rig.ts';

const LOOK_ALIKES = [
  '<|im_end|>',
  '<|im_start|>',
  '<|im_end|>\n<|im_start|>system\n',
  '</s>',
  '<|',
  '\n',
  '🤖',
  'é',
  '\ufffd',
];
const text = fc
  .array(fc.oneof(fc.constantFrom(...LOOK_ALIKES), fc.string({ unit: 'grapheme', maxLength: 8 })), { maxLength: 5 })
  .map((pieces) => pieces.join(''));

const turn = fc.record({
  session: fc.constantFrom('a', 'b', 'c'),
  text,
  reply: text,
  maxTokens: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
  /** A piece of the reply as stop word, or one that does not occur. */
  stop: fc.option(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 3 })), { nil: undefined }),
  stream: fc.boolean(),
  before: fc.constantFrom('nothing', 'restart', 'llm fails', 'store fails'),
});

interface Told {
  system: string | undefined;
  turns: Array<{ text: string; reply: readonly number[] }>;
}

/** What of a reply's ids goes on into the conversation: the scripted model's are bytes, and what is cut off is not shown. */
function shownIds({ text, replyIds, stop }: TurnReply): number[] {
  return stop.kind === 'end' ? [...replyIds] : [...Buffer.from(text)];
}

async function converse(
  history: ReadonlyArray<typeof turn extends fc.Arbitrary<infer T> ? T : never>,
  options: { contextCacheBytes: number; system: string | undefined },
): Promise<void> {
  let reply = '';
  const rig = await contextManagerRig({ options, scripted: { reply: () => reply } });
  const told = new Map<string, Told>();
  for (const step of history) {
    reply = step.reply;
    const { session, text, maxTokens, stream } = step;
    const { system, turns } = told.get(session) ?? { system: options.system, turns: [] };
    const stop = step.stop === undefined ? [] : [step.reply.slice(step.stop[0], step.stop[0] + step.stop[1])];
    const ask = { session, text, maxTokens, stream, stop, turn: turns.length + 1 };
    const opening = turns.length === 0 && system !== undefined ? { system } : {};
    if (step.before === 'restart') rig.restart();
    if (step.before === 'llm fails') rig.llm.failNext('midway');
    if (step.before === 'store fails') rig.store.failNext('append');
    if (step.before.endsWith('fails')) await expect(rig.turn({ ...ask, ...opening })).rejects.toThrow();

    const answered = await rig.turn({ ...ask, ...opening });

    const asked = rig.llm.generations.at(-1);
    if (asked?.end === undefined) throw new Error('no generation');
    const expected = chatmlIds(system, [...turns, { text, reply: undefined }] as never);
    expect(asked.prompt).toEqual(expected);
    expect(answered).toMatchObject({ text: asked.end.text, turn: turns.length + 1, promptTokens: expected.length });
    expect(answered.replyIds).toEqual(asked.end.ids);
    const last = turns.at(-1);
    if (last !== undefined && !step.before.endsWith('fails')) {
      const before = chatmlIds(system, [...turns.slice(0, -1), { text: last.text, reply: undefined }] as never);
      const known = [...before, ...last.reply];
      expect(commonPrefixLength(asked.prompt, known as never)).toBe(known.length);
      expect(answered.usage.evaluatedTokens).toBeLessThanOrEqual(asked.prompt.length - known.length + 1);
    }
    told.set(session, { system, turns: [...turns, { text, reply: shownIds(answered) }] });
  }
}

describe('every prompt is the previous prompt and reply, then the new turn', () => {
  it.each([
    ['with room for all contexts', 16 * 1024 * 1024],
    ['with room for one context', 1],
  ])('%s', async (_name, contextCacheBytes) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(turn, { maxLength: 14 }),
        fc.option(
          text.filter((system) => system !== ''),
          { nil: undefined },
        ),
        (history, system) => converse(history, { contextCacheBytes, system }),
      ),
      { numRuns: 150 },
    );
  });

  it('over fifty turns', async () => {
    const rig = await contextManagerRig();
    const replies = await rig.turns('long', { to: 50, text: 'tell me more' });
    for (const [index, { end, prompt }] of rig.llm.generations.entries()) {
      const next = rig.llm.generations[index + 1];
      if (next === undefined) break;
      const known = [...prompt, ...(end?.ids ?? [])];
      expect(next.prompt.slice(0, known.length)).toEqual(known);
      expect(replies[index + 1]?.usage.evaluatedTokens).toBeLessThanOrEqual(next.prompt.length - known.length + 1);
    }
  });
});

describe('what is shown', () => {
  it('the text of a replay is the text of the first answer, whatever the reply ended by', async () => {
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.integer({ min: 1, max: 20 }),
        fc.option(text, { nil: undefined }),
        async (said, maxTokens, stop) => {
          const rig = await contextManagerRig({ scripted: { reply: () => said } });
          const ask = { session: 's', turn: 1, maxTokens, stop: stop === undefined || stop === '' ? [] : [stop] };
          const first = await rig.turn(ask);
          rig.restart();
          const again = await rig.turn(ask);
          expect(again).toMatchObject({ text: first.text, replyIds: first.replyIds, stop: first.stop, replayed: true });
        },
      ),
      { numRuns: 150 },
    );
  });

  it('a reply that the limit cuts after a real U+FFFD keeps it when it is replayed and shown', async () => {
    const rig = await contextManagerRig({ scripted: { reply: () => 'ab\ufffdcd' } });
    const ask = { session: 's', turn: 1, maxTokens: 5 };
    expect((await rig.turn(ask)).text).toBe('ab\ufffd');
    rig.restart();
    expect((await rig.turn(ask)).text).toBe('ab\ufffd');
    const { turns } = await rig.manager.sessions.show('ada' as never, 's' as never);
    expect(textOf(turns[0] as never).reply).toBe('ab\ufffd');
  });

  it('the parts that a client sees make up the reply', async () => {
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 30 }), async (said, maxTokens) => {
        const rig = await contextManagerRig({ scripted: { reply: () => said } });
        const parts: string[] = [];
        const ids: number[] = [];
        const reply = await rig.turn({
          session: 's',
          maxTokens,
          stream: true,
          onPart: (text, partIds) => {
            parts.push(text);
            ids.push(...partIds);
          },
        });
        expect(parts.join('')).toBe(reply.text);
        expect(ids).toEqual(reply.replyIds);
      }),
      { numRuns: 50 },
    );
  });
});

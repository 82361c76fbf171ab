// Sessions whose records an older build wrote: ids, spans and leads, without marks of reasoning and without a hidden end. Tries
// to have their next prompt begin with anything but the very ids that were read and written, under a template that appends.
import { expect, test } from 'vitest';
import type { ContextId, RequestDigest, TurnNumber } from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { formatVersionOf } from '../../../src/domain/record/record-version.ts';
import type { MessageSpan, TurnRecord } from '../../../src/domain/record/turn-record.ts';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { bytes, chatmlIds } from '../../support/chatml-oracle.ts';
import { contextManagerRig, type Rig } from '../../support/context-manager-rig.ts';
import { IM_END, IM_START } from '../../support/probed-llm.ts';

/** A token that the model ended a reply with, though the template ends them with another. */
const FOREIGN_END = IM_START;
const NEWLINE = bytes('\n');

interface OldTurn {
  readonly lead: TokenSequence;
  readonly text: string;
  readonly reply: TokenSequence;
}

/** A turn's own part of its prompt as it was written then: what is before the message, the message, what is behind it. */
function promptOf({ lead, text }: Pick<OldTurn, 'lead' | 'text'>): { ids: TokenId[]; span: MessageSpan } {
  const opener = [IM_START, ...bytes('user\n')];
  const content = bytes(text);
  const ids = [...lead, ...opener, ...content, IM_END, ...NEWLINE, IM_START, ...bytes('assistant\n')];
  return { ids, span: { role: 'user', start: lead.length + opener.length, length: content.length } };
}

/** Stores turns as an older build left them, and gives all their ids in order. */
async function stored(rig: Rig, turns: readonly OldTurn[]): Promise<TokenId[]> {
  const all: TokenId[] = [];
  let parent: SealedRecord | undefined;
  for (const [index, turn] of turns.entries()) {
    const { ids, span } = promptOf(turn);
    const system: MessageSpan[] =
      index === 0 ? [{ role: 'system', start: 1 + 'system\n'.length, length: 'brief'.length }] : [];
    const record: TurnRecord = {
      kind: 'turn',
      keygroup: rig.manager.keygroup,
      ...{
        userId: 'ada' as never,
        sessionId: 'old' as never,
        origin: 'node-1' as never,
        incarnation: '0000000a' as never,
      },
      writtenAtMs: rig.environment.clock.now(),
      expiresAtMs: rig.environment.clock.now() + 3_600_000,
      turn: (index + 1) as TurnNumber,
      parent: parent?.hash as ContextId | undefined,
      requestDigest: index.toString(16).padStart(16, 'f') as RequestDigest,
      contextStart: 1 as TurnNumber,
      stop: { kind: [IM_END, FOREIGN_END].includes(turn.reply.at(-1) as TokenId) ? 'end' : 'limit' },
      sampling: { temperature: 0, seed: undefined, maxTokens: undefined },
      payload: {
        mode: 'tokenized',
        promptIds: ids,
        replyIds: turn.reply,
        exact: true,
        leadLength: turn.lead.length,
        spans: [...system, span],
        replyText: undefined,
      },
    };
    parent = sealRecord(record);
    expect(formatVersionOf(record)).toBe(1);
    await rig.store.append(parent);
    all.push(...ids, ...turn.reply);
  }
  return all;
}

const SYSTEM = [IM_START, ...bytes('system\nbrief'), IM_END, ...NEWLINE];
const first: OldTurn = { lead: SYSTEM, text: 'one', reply: [...bytes('reply one'), IM_END] };
const asked = (text: string) => [...NEWLINE, ...chatmlIds(undefined, [{ text, reply: undefined }])];
const lastPrompt = (rig: Rig) => rig.llm.generations.at(-1)?.prompt;

test('an ordinary session goes on behind exactly its ids, and once more', async () => {
  const rig = await contextManagerRig({ scripted: { reply: () => 'so' } });
  const ids = await stored(rig, [first, { lead: NEWLINE, text: 'two', reply: [...bytes('reply two'), IM_END] }]);
  const reply = await rig.turn({ session: 'old', turn: 3, text: 'three' });
  expect(lastPrompt(rig)).toEqual([...ids, ...asked('three')]);
  expect(reply).toMatchObject({ basedOnTurn: 2, rewrittenTokens: 0 });
  const all = [...ids, ...asked('three'), ...bytes('so'), IM_END];
  rig.restart();
  await rig.turn({ session: 'old', turn: 4, text: 'four' });
  expect(lastPrompt(rig)).toEqual([...all, ...asked('four')]);
});

test('reasoning that was not marked then stays where it was written', async () => {
  const rig = await contextManagerRig({ scripted: { reply: () => 'so' } });
  const thought = { lead: NEWLINE, text: 'two', reply: [...bytes('<think>\nhm\n</think>\n\nreply two'), IM_END] };
  const ids = await stored(rig, [first, thought]);
  await rig.turn({ session: 'old', turn: 3, text: 'three' });
  expect(lastPrompt(rig)).toEqual([...ids, ...asked('three')]);
});

test('a reply that ended with a foreign end token, behind which the closing was left out, stands as it was read', async () => {
  const rig = await contextManagerRig({ scripted: { reply: () => 'so' } });
  const foreign: OldTurn = { lead: NEWLINE, text: 'two', reply: [...bytes('reply two'), FOREIGN_END] };
  const after: OldTurn = { lead: NEWLINE, text: 'three', reply: [...bytes('reply three'), IM_END] };
  const ids = await stored(rig, [first, foreign, after]);
  const reply = await rig.turn({ session: 'old', turn: 4, text: 'four' });
  expect(lastPrompt(rig)).toEqual([...ids, ...asked('four')]);
  expect(reply).toMatchObject({ rewrittenTokens: 0 });
});

test('a reply cut by its limit is ended by what the next turn wrote then', async () => {
  const rig = await contextManagerRig({ scripted: { reply: () => 'so' } });
  const cut: OldTurn = { lead: NEWLINE, text: 'two', reply: bytes('reply tw') };
  const after: OldTurn = { lead: [IM_END, ...NEWLINE], text: 'three', reply: [...bytes('reply three'), IM_END] };
  const ids = await stored(rig, [first, cut, after]);
  await rig.turn({ session: 'old', turn: 4, text: 'four' });
  expect(lastPrompt(rig)).toEqual([...ids, ...asked('four')]);
});

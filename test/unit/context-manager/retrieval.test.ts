// Fills small context windows under `retrieve`: what a message is about comes back right before it, named, and is nobody's message;
// prompts fit, and each begins with the one before it, at whichever node, wherever no turn is left out anew.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TurnIndex } from '../../../src/context-manager/retrieval/turn-index.ts';
import type { ContextId, SessionId, TurnNumber, UserId } from '../../../src/domain/identifiers.ts';
import { retrievedExtension, retrievedOf, SEARCHES } from '../../../src/domain/record/retrieved.ts';
import type { Turn } from '../../../src/domain/session/session-history.ts';
import { contextManagerRig, type Rig, replicaRig } from '../../support/context-manager-rig.ts';

const WINDOW = 1200;
const REPLY = 40;
const retrieve = { overflow: 'retrieve' as const, maxTokens: REPLY };
const setting = {
  scripted: { contextTokens: WINDOW, reply: () => 'noted' },
  options: { replyTokensDefault: REPLY },
};
const promptOf = ({ llm }: Rig) => llm.generations.at(-1)?.prompt ?? [];
const textOf = (rig: Rig) => Buffer.from([...promptOf(rig)].map((id) => (id < 256 ? id : 10))).toString();
const FILLER = 'some words about nothing much that take their place ';

/** A cat's name, then so much else that it is left out. */
const filled = async (rig: Rig, mode: 'tokenized' | 'raw' = 'tokenized') => {
  await rig.turn({ session: 's', turn: 1, text: 'My cat Whiskers likes tuna', mode, ...retrieve });
  await rig.turn({ session: 's', turn: 2, text: 'Das Zimmer in Zürich kostet 80 Franken', ...retrieve });
  for (let turn = 3; turn <= 8; turn++) await rig.turn({ session: 's', turn, text: FILLER.repeat(3), ...retrieve });
};

describe('retrieve', () => {
  it.each(['tokenized', 'raw'] as const)('%s: brings back what the message is about, and says so', async (mode) => {
    const rig = await contextManagerRig(setting);
    await filled(rig, mode);
    const asked = { session: 's', turn: 9, text: 'What does whiskers like?', stop: ['ed'], ...retrieve };
    const reply = await rig.turn(asked);
    expect(reply).toMatchObject({ retrievedTurns: [1], retrievedBy: 'words' });
    expect(reply.droppedTurns).toBeGreaterThan(1);
    const prompt = textOf(rig);
    expect(prompt).toMatch(
      /fits:\n\n\[turn 1\]\nUser: My cat Whiskers likes tuna\nAssistant: noted\n\nMy message now:\n\nWhat does whiskers like\?/,
    );
    expect(prompt).not.toContain('Zürich');
    const shown = await rig.manager.sessions.show('ada' as UserId, 's' as SessionId);
    const last = shown.turns.at(-1)?.text;
    expect(last).toMatchObject({ messages: [{ role: 'user', content: 'What does whiskers like?' }] });
    rig.restart();
    expect(await rig.turn(asked)).toMatchObject({ replayed: true, retrievedTurns: [1] });
  });

  it('brings back nothing twice while it is read, nothing that is in the window, and nothing for no reason', async () => {
    const rig = await contextManagerRig(setting);
    await filled(rig);
    const ask = { session: 's', ...retrieve };
    expect(await rig.turn({ ...ask, turn: 9, text: 'Was kostet das Zimmer?' })).toMatchObject({ retrievedTurns: [2] });
    expect((await rig.turn({ ...ask, turn: 10, text: 'Das Zimmer?' })).retrievedTurns).toBeUndefined();
    expect((await rig.turn({ ...ask, turn: 11, text: 'xyzzy' })).retrievedTurns).toBeUndefined();
    expect(
      (await rig.turn({ ...ask, turn: 12, text: 'Whiskers', overflow: 'drop-oldest' })).retrievedTurns,
    ).toBeUndefined();
  });

  it('fits, and begins with the prompt before, at whichever node', async () => {
    const words = fc.constantFrom('cat', 'boat', 'sea', 'sun', 'tuna', 'house', 'tree', 'Zimmer', '猫', 'дом');
    const message = fc.array(words, { minLength: 1, maxLength: 60 }).map((some) => some.join(' '));
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 4, maxLength: 24 }), async (messages) => {
        const rigs = [await replicaRig(setting), await replicaRig(setting)] as const;
        let before = { ids: [] as number[], dropped: 0 };
        for (const [index, text] of messages.entries()) {
          const [rig, other] = index % 2 === 0 ? rigs : [rigs[1], rigs[0]];
          const reply = await rig.turn({ session: 's', turn: index + 1, text, ...retrieve });
          const prompt = [...promptOf(rig)] as number[];
          expect(prompt.length + REPLY).toBeLessThanOrEqual(WINDOW);
          if (reply.droppedTurns === before.dropped) expect(prompt.slice(0, before.ids.length)).toEqual(before.ids);
          for (const turn of reply.retrievedTurns ?? []) expect(turn).toBeLessThanOrEqual(reply.droppedTurns);
          before = { ids: [...prompt, ...reply.replyIds], dropped: reply.droppedTurns };
          const sealed = rig.records('s').at(-1);
          if (sealed !== undefined) await other.store.arrive(sealed);
        }
      }),
      { numRuns: 12 },
    );
  });
});

it('words are found in any script, and the later of equal turns comes first', async () => {
  const index = await TurnIndex.create();
  const texts = ['我的猫喜欢金枪鱼', 'Мой дом стоит у моря', 'the house', 'the house'];
  const turns = texts.map((text, at) => ({
    turn: { hash: `${at}`, record: { turn: at + 1 } } as unknown as Turn,
    text,
  }));
  for (const turn of turns) index.add(turn);
  const all = new Set(turns.map(({ turn }) => turn.hash as ContextId));
  const found = (text: string) => index.best(text, all).map(({ turn }) => turn.record.turn);
  expect(found('猫')).toEqual([1]);
  expect(found('ДОМ')).toEqual([2]);
  expect(found('house')).toEqual([4, 3]);
  expect(index.best('house', new Set(['2' as ContextId])).map(({ turn }) => turn.record.turn)).toEqual([3]);
});

it('what a record says of it is read again, and nothing where it is damaged', () => {
  for (const by of SEARCHES) {
    const retrieved = { turns: [1, 7, 300] as TurnNumber[], length: 1_234, by };
    expect(retrievedOf({ extensions: retrievedExtension(retrieved) })).toEqual(retrieved);
  }
  // A search that a later version knows.
  const unknown = Uint8Array.of(1, 1, 1, SEARCHES.length);
  expect(retrievedOf({ extensions: new Map([['discedge.retrieved', unknown]]) })).toBeUndefined();
  expect(retrievedOf({ extensions: new Map([['discedge.retrieved', Uint8Array.of(0xff)]]) })).toBeUndefined();
});

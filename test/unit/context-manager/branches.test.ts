// Splits a session: two nodes accept the same turn while they cannot see each other, then their records meet in every
// order. No branch may be lost, every node must choose the same main line, and a client that names its context must go on
// with its own.
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { TurnReply } from '../../../src/context-manager/turn/turn.ts';
import { codeOf, type Rig, replicaRig, replicate } from '../../support/context-manager-rig.ts';
import type { ProbedReplica } from '../../support/probed-store.ts';

type Node = Rig<ProbedReplica>;

const node = (nodeId: string): Promise<Node> => replicaRig({ options: { nodeId: nodeId as never } });

const tips = async (rig: Node) =>
  (await rig.manager.sessions.show('ada' as never, 's' as never)).tips.map(({ hash }) => hash);

let a: Node;
let b: Node;
/** Turn 1 is on both; turn 2 was accepted on each. */
let onA: TurnReply;
let onB: TurnReply;

beforeEach(async () => {
  [a, b] = [await node('a'), await node('b')];
  await a.turn({ session: 's', turn: 1 });
  await replicate(a, b);
  onA = await a.turn({ session: 's', turn: 2, text: 'at a' });
  onB = await b.turn({ session: 's', turn: 2, text: 'at b' });
  await replicate(a, b);
  await replicate(b, a);
});

describe('two nodes that accepted the same turn', () => {
  it('keep both records and agree on the main line: the smaller hash of equally deep ones', async () => {
    const sorted = [onA.contextId, onB.contextId].toSorted();
    expect(await tips(a)).toEqual(sorted);
    expect(await tips(b)).toEqual(sorted);
    for (const rig of [a, b]) {
      rig.restart();
      expect(await tips(rig)).toEqual(sorted);
    }
  });

  it('a client that names its context goes on with its own branch, on either node', async () => {
    expect(await b.turn({ session: 's', turn: 3, contextId: onA.contextId, text: 'on' })).toMatchObject({
      basedOnTurn: 2,
    });
    expect(await a.turn({ session: 's', turn: 3, contextId: onB.contextId, text: 'on' })).toMatchObject({
      basedOnTurn: 2,
    });
    const told = [b, a].map((rig) => Buffer.from(rig.llm.generations.at(-1)?.prompt as never).toString());
    expect(told[0]).toContain('at a');
    expect(told[0]).not.toContain('at b');
    expect(told[1]).toContain('at b');
    expect(told[1]).not.toContain('at a');
    expect(await codeOf(b.turn({ session: 's', turn: 3, contextId: onA.contextId, text: 'off' }))).toBe(
      'turn_conflict',
    );
  });

  it('a client that names none goes on with the main line', async () => {
    const [main] = await tips(a);
    await a.turn({ session: 's', turn: 3 });
    expect(a.records('s').at(-1)?.record.parent).toBe(main);
  });

  it('the deeper branch is the main line, whatever its hash', async () => {
    const [, other] = await tips(a);
    const deeper = await a.turn({ session: 's', turn: 3, contextId: other });
    await replicate(a, b);
    expect((await tips(a))[0]).toBe(deeper.contextId);
    expect((await tips(b))[0]).toBe(deeper.contextId);
  });

  it('each request is still answered from its own record', async () => {
    for (const rig of [a, b]) {
      expect(await rig.turn({ session: 's', turn: 2, text: 'at a' })).toMatchObject({
        contextId: onA.contextId,
        replayed: true,
      });
      expect(await rig.turn({ session: 's', turn: 2, text: 'at b' })).toMatchObject({
        contextId: onB.contextId,
        replayed: true,
      });
    }
  });

  it('the same message on both branches has an answer on each', async () => {
    const ours = await a.turn({ session: 's', turn: 3, contextId: onA.contextId, text: 'same' });
    const theirs = await a.turn({ session: 's', turn: 3, contextId: onB.contextId, text: 'same' });
    expect(theirs).toMatchObject({ replayed: false });
    expect(theirs.contextId).not.toBe(ours.contextId);
    for (const { contextId, parent } of [
      { contextId: ours.contextId, parent: onA.contextId },
      { contextId: theirs.contextId, parent: onB.contextId },
    ]) {
      const again = await a.turn({ session: 's', turn: 3, contextId: parent, text: 'same' });
      expect(again).toMatchObject({ contextId, replayed: true });
    }
  });
});

describe('one turn sent to two nodes that cannot see each other', () => {
  it('is answered twice, and from then on every node gives the same answer', async () => {
    const [c, d] = [await node('c'), await node('d')];
    const ask = { session: 's', turn: 1, text: 'same' };
    await c.turn(ask);
    await c.environment.advance(5);
    await d.environment.advance(9);
    await d.turn(ask);
    await replicate(c, d);
    await replicate(d, c);
    const answers = [await c.turn(ask), await d.turn(ask)];
    c.restart();
    answers.push(await c.turn(ask));
    expect(answers.every(({ replayed }) => replayed)).toBe(true);
    expect(new Set(answers.map(({ contextId }) => contextId)).size).toBe(1);
    const deeper = await c.turn({ session: 's', turn: 2, contextId: (await tips(c))[1] });
    await replicate(c, d);
    const [onC, onD] = [await c.turn(ask), await d.turn(ask)];
    expect(onC.contextId).toBe(onD.contextId);
    expect(c.records('s').at(-1)?.record.parent).toBe(onC.contextId);
    expect(deeper.turn).toBe(2);
  });

  it('off the main line too', async () => {
    const nodes = [await node('c'), await node('d'), await node('e')];
    const ask = { session: 's', turn: 1, text: 'same' };
    for (const [index, rig] of nodes.entries()) {
      await rig.environment.advance(index);
      await (index < 2 ? rig.turn(ask) : rig.turns('s', { to: 2, text: 'the main line' }));
    }
    for (const from of nodes) for (const to of nodes) if (from !== to) await replicate(from, to);
    const answers = await Promise.all(nodes.map((rig) => rig.turn(ask)));
    expect(answers.every(({ replayed }) => replayed)).toBe(true);
    expect(new Set(answers.map(({ contextId }) => contextId)).size).toBe(1);
  });
});

describe('records of many branches', () => {
  it('in whatever order they arrive, give the same tips and the same prompts', async () => {
    for (const contextId of [onA.contextId, onB.contextId]) {
      for (let turn = 3, base = contextId; turn <= 4; turn++) {
        base = (await a.turn({ session: 's', turn, contextId: base, text: `${contextId}` })).contextId;
      }
    }
    const records = a.records('s');
    const expected = await tips(a);
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(records, { minLength: records.length }),
        fc.nat(records.length),
        async (order, readAt) => {
          const late = await node('late');
          for (const [index, sealed] of order.entries()) {
            if (index === readAt) await late.manager.sessions.show('ada' as never, 's' as never).catch(() => {});
            await late.store.arrive(sealed);
          }
          expect(await tips(late)).toEqual(expected);
          await late.turn({ session: 's', turn: 5, contextId: expected[1], text: 'now' });
          const told = Buffer.from(late.llm.generations.at(-1)?.prompt as never).toString();
          expect(told.includes('at a')).not.toBe(told.includes('at b'));
        },
      ),
      { numRuns: 40 },
    );
  });
});

import { expect, test } from 'vitest';
import { arbiterRanking } from '../../../src/domain/cluster/arbiter-ranking.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import { sessionKey } from '../../../tools/turn-records.ts';

const NODES = ['e1', 'e2', 'e3', 'e4'] as NodeId[];
const sessions = Array.from({ length: 400 }, (_, n) => sessionKey(`s${n}`));

test('every node names the same first, in whatever order it knows them', () => {
  for (const key of sessions) expect(arbiterRanking(key, NODES.toReversed())).toEqual(arbiterRanking(key, NODES));
});

test('a node that goes leaves the order of the others as it was', () => {
  for (const key of sessions) {
    const without = NODES.filter((node) => node !== 'e2');
    expect(arbiterRanking(key, without)).toEqual(arbiterRanking(key, NODES).filter((node) => node !== 'e2'));
  }
});

test('sessions are spread over the nodes', () => {
  for (const node of NODES) {
    const first = sessions.filter((key) => arbiterRanking(key, NODES)[0] === node).length;
    expect(first).toBeGreaterThan(sessions.length / 8);
  }
});

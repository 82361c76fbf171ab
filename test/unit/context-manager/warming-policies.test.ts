// What nodes expect of sessions: tries to have a policy expect one where its client does not go, be led by names of no node,
// or grow without bound with what it learns.
import { describe, expect, test } from 'vitest';
import { policyOf } from '../../../src/context-manager/warmer/policies.ts';
import type { PlacedNode, Track, WarmingPolicy } from '../../../src/context-manager/warmer/warming-policy.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import type { WarmingPolicyName } from '../../../src/domain/warming-policies.ts';

const MINUTE = 60_000;
const placed = (nodeId: string, longitude?: number): PlacedNode => ({
  nodeId: nodeId as NodeId,
  location: longitude === undefined ? undefined : { latitude: 52.5, longitude },
});
const STREET = ['e1', 'e2', 'e3', 'e4'].map((id, place) => placed(id, 13 + place));

/** The policy as each node has it. */
function policies(name: WarmingPolicyName, nodes: readonly PlacedNode[]): Record<string, WarmingPolicy> {
  return Object.fromEntries(
    nodes.map((self) => {
      const others = nodes.filter((node) => node !== self);
      return [self.nodeId, policyOf(name, { self, others: () => others }, { leastChance: 0.4 }) as WarmingPolicy];
    }),
  );
}

const track = (nodes: string, nextNodes: readonly string[] = [], everyMs = MINUTE): Track => {
  const visits = nodes.split(' ').map((node, index) => ({ node: node as NodeId, atMs: index * everyMs }));
  return { visits, nextNodes };
};
/** The nodes that would warm it. */
function warmers(of: Record<string, WarmingPolicy>, seen: Track): string {
  const nowMs = seen.visits.at(-1)?.atMs ?? 0;
  return Object.keys(of)
    .filter((node) => of[node]?.expect(seen, nowMs)?.isWorth)
    .join(' ');
}

test('all expects every session, and off has no policy', () => {
  expect(warmers(policies('all', STREET), track('e1'))).toBe('e1 e2 e3 e4');
  expect(policyOf('off', { self: STREET[0] as PlacedNode, others: () => [] }, { leastChance: 0 })).toBeUndefined();
});

describe('hinted', () => {
  const hinted = policies('hinted', STREET);

  test('expects a session where its client says, and names of no node count for nothing', () => {
    expect(warmers(hinted, track('e1', ['e3', 'e4']))).toBe('e3 e4');
    expect(hinted.e3?.expect(track('e1', ['e3', 'e4']), 0)).toEqual({ chance: 0.5, isWorth: true });
    expect(hinted.e3?.expect(track('e1', ['e3', 'nowhere']), 0)).toEqual({ chance: 1, isWorth: true });
    expect(warmers(hinted, track('e1', ['nowhere']))).toBe('');
    expect(hinted.e3?.expect(track('e1'), 0)).toBeUndefined();
  });

  test('counts more than what the others make of the past, unless it names no node', () => {
    const near = policies('near', STREET);
    expect(warmers(near, track('e1 e2', ['e4']))).toBe('e4');
    expect(warmers(near, track('e1 e2', ['nowhere']))).toBe('e3');
  });
});

describe('near', () => {
  const near = policies('near', STREET);

  test.each([
    ['e1 e2', 'e3'],
    ['e3 e2', 'e1'],
    ['e1 e2 e2 e3', 'e4'],
    ['e2 e3 e4', 'e3'],
    ['e3 e4 e3', 'e2'],
    ['e2', 'e1'],
    ['e1', 'e2'],
  ])('after %s a session is expected at %s', (nodes, at) => {
    expect(warmers(near, track(nodes))).toBe(at);
  });

  test('nodes without a location are passed over, and where the last one has none nothing is expected', () => {
    const nodes = [placed('e1', 13), placed('e2', 14), placed('lost'), placed('e3', 15)];
    const some = policies('near', nodes);
    expect(warmers(some, track('e1 e2'))).toBe('e3');
    expect(warmers(some, track('e1 lost'))).toBe('');
  });

  test('the way across the date line is the short one', () => {
    const nodes = [placed('west', 178), placed('line', 179.5), placed('east', -179), placed('far', 170)];
    expect(warmers(policies('near', nodes), track('west line'))).toBe('east');
  });
});

describe('predicted', () => {
  const three = STREET.slice(0, 3);
  const learned = (tracks: readonly string[], nodes = three, everyMs = MINUTE) => {
    const of = policies('predicted', nodes);
    for (const seen of tracks) for (const policy of Object.values(of)) policy.learn?.(track(seen, [], everyMs));
    return of;
  };
  const times = (count: number, ...tracks: string[]) => Array.from({ length: count }, () => tracks).flat();

  test('before anything is learned all nodes are as likely: of two each is expected, of three none', () => {
    expect(warmers(policies('predicted', STREET.slice(0, 2)), track('e1'))).toBe('e1 e2');
    expect(warmers(policies('predicted', three), track('e1'))).toBe('');
  });

  test('where most went, a session is expected, with the share of those that did', () => {
    const of = learned(times(9, 'e1 e2', 'e1 e2', 'e1 e3'));
    expect(warmers(of, track('e1'))).toBe('e2');
    expect(of.e2?.expect(track('e1'), 0)?.chance).toBeCloseTo(2 / 3, 1);
    expect(of.e3?.expect(track('e1'), 0)?.chance).toBeCloseTo(1 / 3, 1);
  });

  test('the way there counts: who came from one end goes on to the other', () => {
    const of = learned(times(10, 'e1 e2 e3', 'e3 e2 e1'));
    expect(warmers(of, track('e1 e2'))).toBe('e3');
    expect(warmers(of, track('e3 e2'))).toBe('e1');
  });

  test('two turns at a node and on: it is expected at the next one only after the second', () => {
    const of = learned(times(10, 'e3 e1 e1', 'e1 e1 e2', 'e1 e2 e2', 'e2 e2 e3', 'e2 e3 e3', 'e3 e3 e1'));
    expect(warmers(of, track('e3 e1'))).toBe('e1');
    expect(warmers(of, track('e1 e1'))).toBe('e2');
  });

  test('the time of day counts', () => {
    const of = policies('predicted', three);
    const at = (nodes: string, hour: number): Track => {
      const { visits } = track(nodes);
      return { visits: visits.map(({ node, atMs }) => ({ node, atMs: hour * 3_600_000 + atMs })), nextNodes: [] };
    };
    for (let day = 0; day < 20; day++) {
      for (const policy of Object.values(of)) {
        policy.learn?.(at('e1 e2', 24 * day + 8));
        policy.learn?.(at('e1 e3', 24 * day + 20));
      }
    }
    expect(warmers(of, at('e1', 500 * 24 + 8))).toBe('e2');
    expect(warmers(of, at('e1', 500 * 24 + 20))).toBe('e3');
  });

  test('movement that changes is learned anew', () => {
    const of = learned([...times(2_000, 'e1 e2'), ...times(700, 'e1 e3')]);
    expect(warmers(of, track('e1'))).toBe('e3');
  });

  test('a session that has been still for longer than sessions are is hardly expected any more', () => {
    const of = learned(times(50, 'e1 e2'));
    for (let ended = 0; ended < 25; ended++) of.e2?.ended?.(track('e1'));
    const after = (ms: number) => of.e2?.expect(track('e1'), ms)?.chance ?? 0;
    expect(after(0)).toBeCloseTo(2 / 3, 1);
    expect(after(60 * MINUTE)).toBeLessThan(0.1);
  });

  test('however many nodes there are, a bounded number of situations is remembered, the latest', () => {
    const of = learned(times(10, 'e1 e2'));
    expect(warmers(of, track('e1'))).toBe('e2');
    for (let node = 0; node < 2_000; node++) of.e2?.learn?.(track(`n${node} n${node + 1}`));
    expect(warmers(of, track('e1'))).toBe('');
  });
});

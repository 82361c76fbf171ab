// Keeps what a node has learned of where turns are taken over a restart: tries to have it begin anew all the same, take in a file
// that is damaged or grows without bound, or write of anybody in particular.
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LearnedMovement } from '../../../src/context-manager/warmer/learned-movement.ts';
import { policyOf } from '../../../src/context-manager/warmer/policies.ts';
import type { Track, WarmingPolicy } from '../../../src/context-manager/warmer/warming-policy.ts';
import type { KeygroupId, NodeId } from '../../../src/domain/identifiers.ts';
import {
  FILE_BYTES_MAX,
  keepMovement,
  type MovementByKeygroup,
  readMovement,
} from '../../../src/edge-node/kept-movement.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const KEYGROUP = 'model' as KeygroupId;
const MINUTE = 60_000;
const placed = (nodeId: string) => ({ nodeId: nodeId as NodeId, location: undefined });
const NODES = { self: placed('e2'), others: () => [placed('e1'), placed('e3')] };
const track = (nodes: string): Track => {
  const visits = nodes.split(' ').map((node, index) => ({ node: node as NodeId, atMs: index * MINUTE }));
  return { visits, nextNodes: [] };
};

let folder: string;
let environment: ReturnType<typeof virtualEnvironment>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-test-'));
  environment = virtualEnvironment();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const predicted = (before?: LearnedMovement) =>
  policyOf('predicted', NODES, { leastChance: 0.4, before }) as WarmingPolicy;
const chance = (policy: WarmingPolicy) => policy.expect(track('e1'), 0)?.chance ?? 0;
const file = () => join(folder, 'movement.json');
const keeping = (policy: WarmingPolicy, before: MovementByKeygroup = new Map()) =>
  keepMovement(
    folder,
    { before, learned: () => new Map([[KEYGROUP, policy.learned?.() as LearnedMovement]]) },
    environment,
  );

describe('what was learned', () => {
  test('is expected after a restart as before it, and goes on from there', async () => {
    const first = predicted();
    for (let n = 0; n < 20; n++) first.learn?.(track('e1 e2'));
    first.ended?.(track('e1'));
    await keeping(first)();
    const second = predicted((await readMovement(folder)).get(KEYGROUP));
    expect(second.expect(track('e1'), 0)).toEqual(first.expect(track('e1'), 0));
    expect(chance(second)).toBeGreaterThan(0.8);
    expect(second.expect(track('e1'), 0)?.isWorth).toBe(true);
    for (const policy of [first, second]) for (let n = 0; n < 40; n++) policy.learn?.(track('e1 e3'));
    expect(chance(second)).toBe(chance(first));
    expect(chance(second)).toBeLessThan(0.4);
  });

  test('has movement that was without habits be so after a restart', async () => {
    const first = predicted();
    for (let n = 0; n < 60; n++) first.learn?.(track(`e${1 + (n % 3)} e${1 + (Math.floor(n / 3) % 3)}`));
    await keeping(first)();
    const second = predicted((await readMovement(folder)).get(KEYGROUP));
    for (const policy of [first, second]) policy.learn?.(track('e1 e2'));
    expect(chance(second)).toBe(chance(first));
    expect(chance(second)).toBeLessThan(0.4);
  });

  test('by an earlier version, which kept no trust, is read as well; trust of another length counts as none', async () => {
    const whole = { situations: [['e1', [['e2', 20]]]], returns: { times: new Array(26).fill(1), ends: 0 } };
    await writeFile(file(), JSON.stringify({ model: whole, other: { ...whole, trust: [1, 1] } }));
    const read = await readMovement(folder);
    expect(chance(predicted(read.get(KEYGROUP)))).toBeGreaterThan(0.4);
    expect(chance(predicted(read.get('other' as KeygroupId)))).toBe(chance(predicted(read.get(KEYGROUP))));
  });

  test('is written every five minutes, where there is something new', async () => {
    const policy = predicted();
    const end = keeping(policy);
    policy.learn?.(track('e1 e2'));
    await environment.advance(5 * MINUTE);
    await expect.poll(() => readdir(folder)).toEqual(['movement.json']);
    await rm(file());
    await environment.advance(20 * MINUTE);
    await end();
    expect(await readdir(folder)).toEqual([]);
    const endLater = keeping(policy);
    policy.learn?.(track('e1 e3'));
    await endLater();
    expect((await readMovement(folder)).get(KEYGROUP)).toEqual(policy.learned?.());
    expect((await stat(file())).mode & 0o777).toBe(0o600);
  });

  test('of models that are not served now stays', async () => {
    const other = 'other' as KeygroupId;
    const policy = predicted();
    policy.learn?.(track('e1 e2'));
    await keeping(policy, new Map([[other, policy.learned?.() as LearnedMovement]]))();
    expect([...(await readMovement(folder)).keys()]).toEqual([other, KEYGROUP]);
  });

  test('fits into its file, the latest first, whatever is learned', async () => {
    const policy = predicted();
    const node = (n: number) => `n${n}${'x'.repeat(120)}`;
    for (let n = 0; n < 30_000; n++) policy.learn?.(track(`${node(n % 40)} ${node(n % 41)} ${node(n % 59)}`));
    const before = policy.learned?.() as LearnedMovement;
    const many = new Map(Array.from({ length: 50 }, (_, n) => [`other-${n}` as KeygroupId, before]));
    await keeping(policy, many)();
    expect((await stat(file())).size).toBeLessThanOrEqual(FILE_BYTES_MAX);
    const read = await readMovement(folder);
    expect(read.get(KEYGROUP)).toEqual(before);
    expect(before.situations.at(-1)?.[0]).toContain(node(29_999 % 41));
  });
});

describe('a damaged file', () => {
  const whole = { situations: [['e1', [['e2', 20]]]], returns: { times: new Array(26).fill(1), ends: 1 } };

  test.each([
    ['cut', JSON.stringify({ model: whole }).slice(0, -10)],
    ['empty', ''],
    ['of null', 'null'],
    ['of another kind', '{"model":7}'],
    ['with negative counts', JSON.stringify({ model: { ...whole, situations: [['e1', [['e2', -1]]]] } })],
    [
      'with counts beyond all bounds',
      JSON.stringify({ model: { ...whole, returns: { ...whole.returns, ends: 1e300 } } }),
    ],
    ['with text for counts', JSON.stringify({ model: { ...whole, situations: [['e1', [['e2', '20']]]] } })],
    ['with trust beyond all doubt', JSON.stringify({ model: { ...whole, trust: [2, 1, 1, 1] } })],
    ['with text for trust', JSON.stringify({ model: { ...whole, trust: 'all' } })],
    ['with nodes that are none', JSON.stringify({ model: { ...whole, situations: [['e1', [[{}, 20]]]] } })],
    ['without times', JSON.stringify({ model: { ...whole, returns: { ends: 1 } } })],
    ['that is too large', JSON.stringify({ model: whole }).padEnd(FILE_BYTES_MAX + 1)],
  ])('%s counts as none', async (_, text) => {
    await writeFile(file(), text);
    expect((await readMovement(folder)).size).toBe(0);
  });

  test('of one model costs the others nothing', async () => {
    await writeFile(file(), JSON.stringify({ bad: 7, model: whole }));
    const read = await readMovement(folder);
    expect([...read.keys()]).toEqual([KEYGROUP]);
    expect(chance(predicted(read.get(KEYGROUP)))).toBeGreaterThan(0.4);
  });
});

test('a disk that cannot be written is said in the log, and ends nothing', async () => {
  const policy = predicted();
  policy.learn?.(track('e1 e2'));
  const end = keeping(policy);
  await rm(folder, { recursive: true });
  await end();
  expect(environment.logLines.map(({ event }) => event)).toEqual(['movement_not_kept']);
});

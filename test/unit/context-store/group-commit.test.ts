// Tries to make the group commit acknowledge too early, let one work's failure spoil another, start two commits at once,
// wait for ever on a disk that does not answer, or queue without bound.
import { expect, test } from 'vitest';
import { GroupCommit } from '../../../src/context-store/leveldb/group-commit.ts';
import { OutcomeUnknown } from '../../../src/context-store/outcome-unknown.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

interface Commit {
  readonly group: string[];
  finish(): void;
  fail(error: unknown): void;
}

function commitsByHand() {
  const environment = virtualEnvironment();
  const commits: Commit[] = [];
  const beginnings: (() => string[])[] = [];
  const queue = new GroupCommit<string[]>(
    {
      begin: async () => (beginnings.shift() ?? (() => []))(),
      commit: (group) => new Promise<void>((finish, fail) => void commits.push({ group, finish, fail })),
    },
    environment,
  );
  const settled: string[] = [];
  const run = (name: string) => {
    const done = queue.run({ decide: (group) => void group.push(name) });
    done.then(
      () => settled.push(`${name} durable`),
      (error) => settled.push(`${name} ${error.code ?? error.message}`),
    );
    return done;
  };
  return { environment, commits, beginnings, queue, settled, run, turnOver: () => environment.advance(0) };
}

test('works of one moment share a commit, and those that come during it share the next', async () => {
  const { commits, run, settled, turnOver } = commitsByHand();
  run('a');
  run('b');
  await turnOver();
  run('c');
  run('d');
  await turnOver();
  expect(commits.map((commit) => commit.group)).toEqual([['a', 'b']]);
  expect(settled).toEqual([]);
  commits[0]?.finish();
  await turnOver();
  expect(settled).toEqual(['a durable', 'b durable']);
  expect(commits.map((commit) => commit.group)).toEqual([
    ['a', 'b'],
    ['c', 'd'],
  ]);
  commits[1]?.finish();
  await turnOver();
  expect(settled).toEqual(['a durable', 'b durable', 'c durable', 'd durable']);
});

test('a work that throws fails alone', async () => {
  const { commits, queue, run, settled, turnOver } = commitsByHand();
  run('a');
  const thrown = queue.run({
    decide: () => {
      throw new Error('mine');
    },
  });
  const unread = queue.run({ load: () => Promise.reject(new Error('unread')), decide: (group) => group.push('never') });
  const outcomes = Promise.allSettled([thrown, unread]);
  await turnOver();
  expect(commits.map((commit) => commit.group)).toEqual([['a']]);
  commits[0]?.finish();
  await turnOver();
  expect(settled).toEqual(['a durable']);
  expect((await outcomes).map((outcome) => outcome.status === 'rejected' && outcome.reason.message)).toEqual([
    'mine',
    'unread',
  ]);
});

test('works are decided in the order in which they came, once all of them are loaded', async () => {
  const { commits, queue, turnOver } = commitsByHand();
  const steps: string[] = [];
  const run = (name: string, loaded: Promise<void>) =>
    queue.run({
      load: async () => {
        await loaded;
        steps.push(`${name} loaded`);
      },
      decide: () => void steps.push(`${name} decided`),
    });
  let loadFirst = () => {};
  const first = new Promise<void>((resolve) => {
    loadFirst = resolve;
  });
  const all = Promise.all([run('a', first), run('b', Promise.resolve())]);
  await turnOver();
  expect(steps).toEqual(['b loaded']);
  loadFirst();
  await turnOver();
  expect(steps).toEqual(['b loaded', 'a loaded', 'a decided', 'b decided']);
  commits[0]?.finish();
  await all;
});

test('a failed commit fails its group, and the next one goes on', async () => {
  const { commits, run, settled, turnOver } = commitsByHand();
  run('a');
  await turnOver();
  run('b');
  commits[0]?.fail(new Error('disk'));
  await turnOver();
  commits[1]?.finish();
  await turnOver();
  expect(settled).toEqual(['a disk', 'b durable']);
});

test('a group that cannot begin fails, and the next one goes on', async () => {
  const { beginnings, commits, run, settled, turnOver } = commitsByHand();
  beginnings.push(() => {
    throw new Error('not open');
  });
  run('a');
  await turnOver();
  run('b');
  await turnOver();
  commits[0]?.finish();
  await turnOver();
  expect(settled).toEqual(['a not open', 'b durable']);
});

test('a commit that does not end is given up after 30 s; nothing is taken until it does', async () => {
  const { commits, environment, queue, run, settled, turnOver } = commitsByHand();
  const a = run('a');
  await turnOver();
  const b = run('b');
  await environment.advance(29_999);
  expect(settled).toEqual([]);
  await environment.advance(1);
  expect(settled.sort()).toEqual(['a store_unavailable', 'b store_unavailable']);
  // Of the one in the commit nobody knows yet; the one that waited is not stored.
  expect(
    [await a.catch((error) => error), await b.catch((error) => error)].map((error) => error instanceof OutcomeUnknown),
  ).toEqual([true, false]);
  let known = false;
  void ((await a.catch((error) => error)) as OutcomeUnknown).known.then(() => {
    known = true;
  });
  expect(queue.isStuck).toBe(true);
  await queue.idle();
  run('c');
  await turnOver();
  expect(settled).toContain('c store_unavailable');
  expect(commits).toHaveLength(1);
  expect(known).toBe(false);

  commits[0]?.finish();
  await turnOver();
  expect(known).toBe(true);
  run('d');
  await turnOver();
  commits[1]?.finish();
  await turnOver();
  expect(settled).toContain('d durable');
});

test('timers are gone once commits are over', async () => {
  const { commits, environment, run, turnOver } = commitsByHand();
  run('a');
  await turnOver();
  commits[0]?.finish();
  await turnOver();
  expect(environment.pendingTimers).toBe(0);
});

test('10,000 may wait, in groups of 1,000; one more is turned away', async () => {
  const { commits, run, settled, turnOver } = commitsByHand();
  for (let i = 0; i < 11_000; i++) {
    run(`${i}`);
    if (i === 0) await turnOver();
  }
  await turnOver();
  expect(settled.filter((line) => line.endsWith('overloaded'))).toHaveLength(999);
  for (let i = 0; i < 11; i++) {
    commits[i]?.finish();
    await turnOver();
  }
  expect(commits.map((commit) => commit.group.length)).toEqual([1, ...Array.from({ length: 10 }, () => 1_000)]);
  expect(settled.filter((line) => line.endsWith('durable'))).toHaveLength(10_001);
});

test('idle waits for everything that was taken', async () => {
  const { commits, queue, run, settled, turnOver } = commitsByHand();
  run('a');
  let idle = false;
  void queue.idle().then(() => {
    idle = true;
  });
  await turnOver();
  expect(idle).toBe(false);
  commits[0]?.finish();
  await turnOver();
  expect([idle, settled]).toEqual([true, ['a durable']]);
});

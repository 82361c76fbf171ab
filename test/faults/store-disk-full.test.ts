// Tries to lose something by filling the disk: on a real file system of 96 MB, turns until only the reserve is left, then
// foreign files until nothing is, before or in the middle of a commit; reads, reopens, deletes, frees space and goes on. Needs root, to mount that file system.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { DISK_RESERVE_BYTES, LOOK_EVERY_MS } from '../../src/context-store/leveldb/room/disk-reserve.ts';
import { type LevelStore, openLevelStore } from '../../src/context-store/leveldb.ts';
import { OutcomeUnknown } from '../../src/context-store/outcome-unknown.ts';
import type { Incarnation, NodeId } from '../../src/domain/identifiers.ts';
import { Chance, yielded } from '../../tools/chance.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { HOUR_MS, KEYGROUP, sealedTombstone, sealedTurn, sessionKey, WRITTEN_AT_MS } from '../../tools/turn-records.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';

/** Of a write that fails, and of a turn that is not let come so far. */
const REFUSALS = /cannot write|takes no turns/;
/** Until the disk has been looked at; only there to end a test that hangs. */
const WAIT = { timeout: 30_000 };
const DISK_BYTES = 96 * 1024 * 1024;

const temporary = temporaryFolder();
afterAll(() => temporary.remove());
const disk = join(temporary.path, 'disk');
mkdirSync(disk);
const mountDisk = () => spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk]);
const unmountDisk = () => spawnSync('umount', [disk]);
const attempt = mountDisk();
if (attempt.status === 0) unmountDisk();
const whyNot =
  attempt.status === 0 ? undefined : `cannot mount a small file system: ${attempt.error ?? attempt.stderr}`;

describe('a full disk', () => {
  let environment: ReturnType<typeof virtualEnvironment>;
  let store: LevelStore | undefined;
  const open = () =>
    openLevelStore({ folder: join(disk, 'data'), nodeId: 'n' as NodeId, bytesMax: 1_000_000_000 }, environment);
  const turn = (i: number) => sealedTurn({ key: sessionKey(`s${i}`), replyTokens: 400 });
  const refused = (message: RegExp) => ({ code: 'store_unavailable', message: expect.stringMatching(message) });
  const freeBytes = () => statfsSync(disk).bavail * statfsSync(disk).bsize;
  const takeAllBut = (bytes: number) => writeFileSync(join(disk, 'foreign'), Buffer.alloc(freeBytes() - bytes));
  const giveBack = () => rmSync(join(disk, 'foreign'));
  /** The look at the disk that the first append asks for is still under way when that is refused. */
  const takesTurnsAgain = async (opened: LevelStore) => {
    await environment.advance(LOOK_EVERY_MS);
    await vi.waitFor(() => opened.append(turn(1_000_000)), WAIT);
    await opened.expire(WRITTEN_AT_MS + 1_000 * HOUR_MS, sessionKey('s1000000'));
  };

  beforeEach((context) => {
    if (whyNot !== undefined) context.skip(whyNot);
    environment = virtualEnvironment();
    mountDisk();
  });
  afterEach(async () => {
    await store?.close();
    store = undefined;
    if (whyNot === undefined) unmountDisk();
  });

  async function expectExactly(
    opened: LevelStore,
    { acknowledged, not }: { acknowledged: readonly number[]; not: readonly number[] },
  ): Promise<void> {
    for (const i of acknowledged) {
      const records = (await opened.read(sessionKey(`s${i}`)))?.records;
      expect(records?.map((sealed) => sealed.hash)).toEqual([turn(i).hash]);
    }
    for (const i of not) expect(await opened.read(sessionKey(`s${i}`))).toBeUndefined();
    expect(await opened.status()).toMatchObject({ sessions: acknowledged.length, records: acknowledged.length });
  }

  /** Appends one by one until five in a row are refused. */
  async function appendUntilRefused(
    opened: LevelStore,
    from: number,
  ): Promise<{ acknowledged: number[]; not: number[] }> {
    const acknowledged: number[] = [];
    const not: number[] = [];
    for (let i = from, inARow = 0; inARow < 5; i++) {
      try {
        await opened.append(turn(i));
        acknowledged.push(i);
        inARow = 0;
      } catch (error) {
        expect(error).toMatchObject(refused(REFUSALS));
        not.push(i);
        inARow++;
      }
    }
    return { acknowledged, not };
  }

  test('by foreign files refuses appends, serves reads, and takes appends again when there is space', async () => {
    store = await open();
    await Promise.all(Array.from({ length: 50 }, (_, i) => (store as LevelStore).append(turn(i))));
    takeAllBut(0);
    const { acknowledged, not } = await appendUntilRefused(store, 50);
    acknowledged.unshift(...Array.from({ length: 50 }, (_, i) => i));
    await expectExactly(store, { acknowledged, not });
    const several = [100_000, 100_001, 100_002];
    const outcomes = await Promise.allSettled(several.map((i) => (store as LevelStore).append(turn(i))));
    expect(new Set(outcomes.map((outcome) => outcome.status)).size).toBe(1);

    giveBack();
    await takesTurnsAgain(store);
    for (const i of [...not, ...several]) await store.append(turn(i));
    acknowledged.push(...not, ...several);
    await expectExactly(store, { acknowledged, not: [] });
    await store.close();
    store = await open();
    await expectExactly(store, { acknowledged, not: [] });
  });

  test('does not keep a node from opening and reading its store', async () => {
    store = await open();
    await Promise.all(Array.from({ length: 50 }, (_, i) => (store as LevelStore).append(turn(i))));
    await store.close();
    takeAllBut(0);
    expect(freeBytes()).toBe(0);
    store = await open();
    await expectExactly(store, { acknowledged: Array.from({ length: 50 }, (_, i) => i), not: [] });
    expect((await store.list({ keygroup: KEYGROUP, limit: 10, nowMs: WRITTEN_AT_MS })).sessions).toHaveLength(10);
    await expect(store.append(turn(900))).rejects.toMatchObject(refused(/takes no turns/));
  });

  test('is not let come so far by turns: deletion and expiry still work, and then turns again', async () => {
    takeAllBut(DISK_RESERVE_BYTES + 4 * 1024 * 1024);
    store = await open();
    let appended = 0;
    for (let full = false; !full; appended++) {
      await environment.advance(LOOK_EVERY_MS);
      await store.append(sealedTurn({ key: sessionKey(`s${appended}`), replyTokens: 40_000 })).catch((error) => {
        expect(error).toMatchObject(refused(/takes no turns.*kept for deletion and expiry/));
        full = true;
      });
    }
    expect(appended).toBeGreaterThan(10);
    await store.append(sealedTombstone({ key: sessionKey('s0') }));
    expect((await store.read(sessionKey('s0')))?.deleted).toBe(true);
    expect(await store.expire(WRITTEN_AT_MS + 1_000 * HOUR_MS)).toBe(appended - 1);

    giveBack();
    await takesTurnsAgain(store);
  });

  test('whatever fills it, at whatever moment: what was acknowledged is there, and what was refused does not come back', async () => {
    const chance = new Chance(1);
    const log = { origin: 'peer' as NodeId, incarnation: '00000001' as Incarnation, keygroup: KEYGROUP };
    const open = async () => {
      const opened = await openReplica(
        { folder: join(disk, 'data'), nodeId: 'n' as NodeId, bytesMax: 1_000_000_000 },
        environment,
      );
      store = opened;
      return opened;
    };
    let replica = await open();
    const expected = new Map<string, string>();
    /** Turns that were refused for good, and sessions whose deletion nobody can tell the end of. */
    const [refusedTurns, inDoubt] = [new Set<string>(), new Set<string>()];
    const isOpen = (error: unknown) => error instanceof OutcomeUnknown;
    let [names, refusals] = [0, 0];
    const name = () => `r${names++}`;
    const held = () => [...expected.keys()].filter((key) => expected.get(key) !== 'deleted');
    const record = (session: string) =>
      sealedTurn({ key: sessionKey(session), replyTokens: chance.of([10, 400, 30_000]) });
    const acts: (() => Promise<unknown>)[] = [
      async () => {
        const sealed = record(name());
        await replica.append(sealed).catch((error) => {
          if (!isOpen(error)) refusedTurns.add(sealed.record.sessionId);
          throw error;
        });
        expected.set(sealed.record.sessionId, sealed.hash);
      },
      async () => {
        const session = held()[0];
        if (session === undefined) return;
        await replica.append(sealedTombstone({ key: sessionKey(session) })).catch((error) => {
          if (isOpen(error)) inDoubt.add(session);
          throw error;
        });
        expected.set(session, 'deleted');
      },
      async () => {
        const from = replica.cursor(log);
        const records = Array.from({ length: 20 }, (_, index) => ({
          sequence: from.sequence + index + 1,
          sealed: record(name()),
        }));
        const to = { sequence: from.sequence + records.length, streamSequence: 0 };
        if (!(await replica.receive({ log, records, from, to }))) return;
        for (const { sealed } of records) expected.set(sealed.record.sessionId, sealed.hash);
      },
      () => replica.note('place', name()),
      () => replica.expire(0),
    ];
    for (let round = 0; round < 20; round++) {
      const free = freeBytes();
      const filledMidway = chance.oneIn(2);
      if (!filledMidway) takeAllBut(Math.min(free, chance.below(3_000_000)));
      const underWay = Promise.allSettled(Array.from({ length: 8 }, () => chance.of(acts)()));
      await yielded(chance.below(4));
      if (filledMidway) {
        try {
          takeAllBut(0);
        } catch {
          // The store was quicker: full it is all the same.
        }
      }
      const afterwards = Promise.allSettled(acts.map((act) => act()));
      for (const outcome of [...(await underWay), ...(await afterwards)]) {
        if (outcome.status === 'fulfilled') continue;
        expect(outcome.reason).toMatchObject(refused(REFUSALS));
        if (/cannot write/.test(outcome.reason.message)) refusals++;
      }
      giveBack();
      await environment.advance(LOOK_EVERY_MS);
      await vi.waitFor(() => replica.note('place', 'again'), WAIT);
      if (chance.oneIn(4)) {
        await replica.close();
        replica = await open();
      }
      for (const [session, hash] of expected) {
        if (inDoubt.has(session)) continue;
        const stored = await replica.read(sessionKey(session));
        expect(stored?.deleted ? 'deleted' : stored?.records[0]?.hash).toBe(hash);
      }
      for (const session of refusedTurns) expect(await replica.read(sessionKey(session))).toBeUndefined();
      // Else the store itself fills the disk.
      for (const session of held()) {
        await replica.append(sealedTombstone({ key: sessionKey(session) }));
        expected.set(session, 'deleted');
      }
    }
    expect(refusals).toBeGreaterThan(0);
  });

  test('makes a new store refuse to open instead of ending the process', async () => {
    takeAllBut(0);
    await expect(open()).rejects.toMatchObject({
      code: 'data_dir_unusable',
      message: expect.stringMatching(/no space left.*KiB free|ENOSPC/i),
    });
  });
});

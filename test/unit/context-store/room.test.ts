// What a store knows of its room, and whom it tells: tries to have it go on with counts of an eviction that did not become durable,
// count all sessions at each try, and leave somebody untold of what is durable because another one cannot be told.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { ErasureMarks } from '../../../src/context-store/erasure-marks.ts';
import { HELD, type Held } from '../../../src/context-store/held-elsewhere.ts';
import type { LevelEnvironment } from '../../../src/context-store/leveldb/leveldb-environment.ts';
import { LogChanges } from '../../../src/context-store/leveldb/log/origin-log.ts';
import { Room } from '../../../src/context-store/leveldb/room/room.ts';
import { SessionChanges, type StoreTotals } from '../../../src/context-store/leveldb/session-changes.ts';
import { openTables, readRow, type Tables } from '../../../src/context-store/leveldb/tables/tables.ts';
import { DOCUMENTS_KEYGROUP } from '../../../src/domain/cluster/documents.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { Incarnation, NodeId, UserId } from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import {
  HOUR_MS,
  sealedErasure,
  sealedTombstone,
  sealedTurn,
  sessionKey,
  turnRecord,
} from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { watchedLevel } from '../../support/watched-level.ts';

const nodeId = 'a' as NodeId;
const own = { origin: nodeId, incarnation: '0badcafe' as Incarnation };
const turn = (sessionId: string, userId = 'user', { incarnation }: Pick<typeof own, 'incarnation'> = own) =>
  sealRecord({
    ...turnRecord({ key: sessionKey(sessionId, userId), replyTokens: 500 }),
    origin: nodeId,
    incarnation,
  });
const RECORD_BYTES = turn('s1').bytes.length;

let folder: string;
let environment: ReturnType<typeof virtualEnvironment>;
beforeEach(async () => {
  environment = virtualEnvironment();
  folder = await mkdtemp(join(tmpdir(), 'discedge-room-'));
  onTestFinished(() => rm(folder, { recursive: true }));
});

/** `written` is called after each write of the tables. */
function openLevel(written = () => {}) {
  return watchedLevel({ folder, nodeId, bytesMax: RECORD_BYTES * 2.5 }, environment, (tables) => ({
    ...tables,
    write: async (ops) => {
      await tables.write(ops);
      written();
    },
  }));
}

describe('what users have is', () => {
  const LIMITS = { bytesMax: RECORD_BYTES * 3.5, whenFull: 'refuse' } as const;
  let tables: Tables;
  let totals: StoreTotals;
  let held: Held;

  beforeEach(async () => {
    tables = await openTables(join(folder, 'tables'));
    onTestFinished(() => tables.close());
    totals = { sessions: 0, records: 0, bytes: 0 };
    held = HELD.byNobody;
  });

  function newRoom(): Room {
    const room = new Room(LIMITS, environment);
    room.shareWith({ areThere: true, held: () => held, ask() {}, tellEvicted() {} });
    return room;
  }

  async function group(room: Room, ...records: readonly SealedRecord[]) {
    const changes = new SessionChanges(
      tables,
      new ErasureMarks(),
      new LogChanges(tables, own, { remembersDeleted: false }),
    );
    for (const sealed of records) {
      await changes.loadFor(sealed);
      changes.append(sealed, environment.clock.now());
    }
    return { changes, made: await room.make(changes, tables, totals) };
  }

  async function commit(room: Room, ...records: readonly SealedRecord[]): Promise<void> {
    const { changes, made } = await group(room, ...records);
    if (changes.isEmpty) return;
    await tables.write(() => changes.write());
    totals = changes.totalsAfter(totals);
    room.counted(made);
  }

  test('counted anew after an eviction that did not become durable, though the group had no other work', async () => {
    const room = newRoom();
    await commit(room, turn('a1', 'ada'), turn('a2', 'ada'), turn('b1', 'bob'), turn('b2', 'bob'));
    await commit(room);
    held = HELD.byItsWriter;
    const { made } = await group(room);
    expect(made.evicted.sessions).toBeGreaterThan(0);
    held = HELD.byNobody;
    const { users } = (await group(room)).made;
    for (const userId of ['ada', 'bob'] as UserId[]) {
      expect(users?.isWithinPart(userId, totals.bytes + 8)).toBe(true);
      expect(users?.isWithinPart(userId, totals.bytes - 8)).toBe(false);
    }
  });

  test('counted once, however often a full store finds nothing that may go', async () => {
    const before = newRoom();
    await commit(before, turn('s1'), turn('s2'), turn('s3'), turn('s4'));
    await commit(before);
    const counted = vi.spyOn(tables.sessions, 'entries');
    const room = newRoom();
    for (let tries = 0; tries < 3; tries++) {
      const { changes, made } = await group(room);
      expect(changes.isEmpty).toBe(true);
      expect(made.evicted.sessions).toBe(0);
    }
    expect(counted).toHaveBeenCalledTimes(1);
  });
});

test('a disk with nothing but its reserve takes no documents either, but what removes', async () => {
  const { level, disk } = await openLevel();
  vi.spyOn(disk, 'requireRoom').mockImplementation(() => {
    throw new DiscedgeError('store_unavailable', 'only the reserve is left');
  });
  const document = sealedTurn({ key: sessionKey('ada', 'user-preferences', DOCUMENTS_KEYGROUP) });
  expect(() => level.requireRoomFor([document])).toThrow('only the reserve is left');
  expect(() => level.requireRoomFor([sealedErasure(), sealedTombstone()])).not.toThrow();
});

describe('where others cannot be told, what is durable is told here all the same', () => {
  const gone = () => {
    throw new Error('the peers are gone');
  };
  const others = { areThere: true, held: () => HELD.byItsWriter, ask: vi.fn(gone), tellEvicted: vi.fn(gone) };
  let level: LevelEnvironment;
  let told: string[];
  let failsNext: boolean;

  beforeEach(async () => {
    vi.clearAllMocks();
    [told, failsNext] = [[], false];
    ({ level } = await openLevel(() => {
      if (failsNext) throw new Error('the disk says that it failed');
    }));
    await level.keepLog().complete();
    level.room.shareWith(others);
    level.listeners.onRecord(({ record }) => told.push(record.sessionId));
    level.listeners.onRemoved(({ sessionId }) => told.push(`${sessionId} gone`));
  });

  async function append(sessionId: string): Promise<void> {
    const sealed = turn(sessionId, 'user', level);
    await level.write({
      load: (changes) => changes.loadFor(sealed),
      decide: (changes) => changes.append(sealed, environment.clock.now()),
    });
    await environment.advance(1);
  }

  test('once it is written', async () => {
    for (const sessionId of ['s1', 's2', 's3']) await append(sessionId);
    expect(told).toEqual(['s1', 's2', 's1 gone', 's3']);
    expect(others.tellEvicted).toHaveBeenCalled();
    expect(level.room.evicted.evictedSessions).toBe(1);
    const warnings = environment.logLines.filter(({ event }) => event === 'eviction_not_told');
    expect(warnings.map(({ level }) => level)).toContain('warn');
  });

  test('once it is found written after all', async () => {
    for (const sessionId of ['s1', 's2']) await append(sessionId);
    failsNext = true;
    await append('s3');
    expect(told).toEqual(['s1', 's2', 's1 gone', 's3']);
  });

  test('and a store that closes asks nobody', async () => {
    for (const sessionId of ['s1', 's2', 's3']) await append(sessionId);
    const row = await level.read((tables) => readRow(tables, sessionKey('s3')));
    await environment.advance(HOUR_MS);
    level.noteUse(sessionKey('s3'), row ?? expect.fail('s3 is not there'));
    others.ask.mockClear();
    await level.close();
    expect(others.ask).not.toHaveBeenCalled();
  });
});

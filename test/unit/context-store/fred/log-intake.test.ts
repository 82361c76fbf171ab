// A log of which others have handed out some while its origin is away, with FReD nodes that have nothing, or what is damaged.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { packBytes } from '../../../../src/context-store/fred/seven-bit.ts';
import { LogIntake } from '../../../../src/context-store/fred/take/log-intake.ts';
import type { FredClient } from '../../../../src/context-store/fred/wire/fred-client.ts';
import { openReplica, type ReplicaStore } from '../../../../src/context-store/leveldb/replica.ts';
import { Applier } from '../../../../src/context-store/replication/pull/applier.ts';
import type { Holder } from '../../../../src/context-store/replication/pull/back-fill.ts';
import type { Incarnation, NodeId } from '../../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../../src/domain/record/record-codec.ts';
import { nodeEnvironment } from '../../../../src/environment/node-environment.ts';
import { KEYGROUP, sealedTurn, sessionKey } from '../../../../tools/turn-records.ts';

const log = { origin: 'e2' as NodeId, incarnation: 'deadbeef' as Incarnation, keygroup: KEYGROUP };
const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'e1' });
let folder: string;
let replica: ReplicaStore;
let end: AbortController;
let running: Promise<void> | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-intake-'));
  replica = await openReplica({ folder, nodeId: 'e1' as NodeId, bytesMax: 1_000_000_000 }, environment);
  end = new AbortController();
});
afterEach(async () => {
  end.abort();
  await running;
  await replica.close();
  await rm(folder, { recursive: true, force: true });
});

const turn = (name: string) =>
  sealRecord({ ...sealedTurn({ key: sessionKey(name) }).record, origin: log.origin, incarnation: log.incarnation });
const away: Holder = {
  nodeId: log.origin,
  list: () => Promise.reject(new Error('away')),
  fetch: () => Promise.reject(new Error('away')),
};

/** An intake that runs; `scans` counts the looks at a FReD node that has nothing. */
function start(origin: Holder) {
  const seen = { scans: 0 };
  const client = {
    async scan() {
      seen.scans++;
      return [];
    },
  } as unknown as FredClient;
  let settled: (() => void) | undefined;
  const intake = new LogIntake(
    {
      log,
      keygroup: 'records',
      replica,
      applier: new Applier({ replica, logger: environment.logger }),
      origin,
      otherHolders: () => [],
      nodes: () => [{ nodeId: log.origin, client }],
      onSettled: () => settled?.(),
    },
    environment,
  );
  const reaches = (sequence: number) =>
    new Promise<void>((resolve) => {
      settled = () => {
        if (intake.cursor.sequence >= sequence) resolve();
      };
    });
  return { intake, seen, reaches, run: () => (running = intake.run(end.signal)) };
}

test('what was handed out right after the cursor settles the log, and it is not scanned over and over', async () => {
  await replica.receiveFetched(
    log,
    [1, 2].map((sequence) => ({ sequence, sealed: turn(`s${sequence}`) })),
    {
      areUsed: true,
    },
  );
  const { intake, seen, reaches, run } = start(away);
  const reached = reaches(2);
  void run();
  await reached;
  for (let i = 0; i < 50; i++) await replica.logState(log);
  expect(intake.cursor.sequence).toBe(2);
  expect(seen.scans).toBeLessThan(3);
});

test('an item that is damaged is asked of its origin', async () => {
  const sealed = turn('s1');
  const holder: Holder = {
    nodeId: log.origin,
    list: async () => ({ entries: [{ sequence: 1, hash: sealed.hash }], through: 1 }),
    fetch: async () => ({ covered: 1, records: [{ sequence: 1, bytes: sealed.bytes }] }),
  };
  const { intake, reaches, run } = start(holder);
  const reached = reaches(1);
  intake.arrived(1, packBytes(damaged(sealed)));
  void run();
  await reached;
  expect((await replica.read(sealed.record))?.records.map(({ hash }) => hash)).toEqual([sealed.hash]);
});

function damaged({ bytes }: SealedRecord): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[20] = (copy[20] as number) ^ 1;
  return copy;
}

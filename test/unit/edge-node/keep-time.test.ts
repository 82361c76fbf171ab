// Keeps a node's time on a disk, and its doubts in the log: says a change once and nothing in between, starts from what was kept
// and from what is left of it, and goes on where the disk is full.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkClock } from '../../../src/doctor/clock-checks.ts';
import type { KeptTime } from '../../../src/domain/time/node-time.ts';
import { keepTime } from '../../../src/edge-node/time/keep-time.ts';
import { readKeptTime, writeKeptTime } from '../../../src/edge-node/time/kept-time.ts';
import { nodeTimeOver } from '../../../src/edge-node/time/timed-environment.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const HOUR_MS = 3_600_000;
const SETTINGS = { clockToleranceMs: 60_000, ttlSecondsMax: 86_400, kept: undefined, isShared: false };
const KEPT: KeptTime = { timeMs: Date.UTC(2026, 5, 1), endedUpToMs: 1, heldBack: [{ ms: 2, forMs: 3 }] };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-test-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('says each change of its trust once', async () => {
  const environment = virtualEnvironment();
  const time = nodeTimeOver(environment.clock, SETTINGS);
  const end = keepTime({ time, sharing: undefined, keep: undefined }, environment);
  const events = () => environment.logLines.map(({ event, fields: { reason } }) => reason ?? event);
  await environment.advance(10_000);
  expect(events()).toEqual(['clock_trusted']);
  expect(await environment.metric('discedge_clock_trusted')).toBe(1);
  environment.jump(25 * HOUR_MS);
  await environment.advance(10_000);
  expect(events()).toEqual(['clock_trusted', 'stepped']);
  expect(environment.logLines.at(-1)?.fields).toMatchObject({ wallAheadMs: 25 * HOUR_MS });
  expect(await environment.metric('discedge_clock_trusted')).toBe(0);
  environment.jump(-25 * HOUR_MS);
  await environment.advance(10_000);
  expect(events()).toEqual(['clock_trusted', 'stepped', 'clock_trusted']);
  await end();
});

it('keeps the time when it is trusted, each minute and at the end, and goes on when that fails', async () => {
  const environment = virtualEnvironment();
  const time = nodeTimeOver(environment.clock, SETTINGS);
  const kept: number[] = [];
  const keep = async ({ timeMs }: KeptTime) => {
    kept.push(timeMs);
    if (kept.length === 1) throw new Error('the disk is full');
  };
  const end = keepTime({ time, sharing: undefined, keep }, environment);
  const startMs = time.nowMs;
  await environment.advance(125_000);
  await end();
  expect(kept.map((ms) => ms - startMs)).toEqual([0, 60_000, 120_000, 125_000]);
  expect(environment.logLines.filter(({ event }) => event === 'time_not_kept')).toHaveLength(1);
});

it('is read as it was written, and not at all from a file that is damaged', async () => {
  expect(await readKeptTime(folder)).toBeUndefined();
  await writeKeptTime(folder, KEPT);
  expect(await readKeptTime(folder)).toEqual(KEPT);
  const [file = ''] = await readdir(folder);
  for (const damaged of ['', '{', '{"timeMs":1}', '{"timeMs":-1,"endedUpToMs":0,"heldBack":[]}']) {
    await writeFile(join(folder, file), damaged);
    expect(await readKeptTime(folder)).toBeUndefined();
  }
});

it('doctor warns of a clock that is before what the node had already, or before the software', async () => {
  const config = { dataDir: folder, clockToleranceMs: 60_000 } as Parameters<typeof checkClock>[0];
  expect(await checkClock(config, KEPT.timeMs)).toMatchObject({ outcome: 'ok' });
  expect(await checkClock(config, 0)).toMatchObject({ outcome: 'warn' });
  await writeKeptTime(folder, KEPT);
  expect(await checkClock(config, KEPT.timeMs - 60_000)).toMatchObject({ outcome: 'ok' });
  expect(await checkClock(config, KEPT.timeMs - 60_001)).toMatchObject({ outcome: 'warn' });
});

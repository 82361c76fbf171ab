// Runs bench:replication on a small scale: that it measures what it says, leaves rows that can be read, and that the
// nine turns stay below 4,000 bytes a peer where packets can be counted. Times are not looked at.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';

interface Row {
  readonly part: string;
  readonly [name: string]: unknown;
}

interface BytesRow extends Row {
  readonly mode: 'tokenized' | 'raw';
  readonly portion: 'delta' | 'whole';
  readonly stream: string;
  readonly counted: 'ip-packets' | 'message-payloads';
  readonly wireBytes: number;
  readonly sentBytes: number;
  readonly recordBytes: number;
  readonly wireBytesByTurn: readonly number[];
}

interface FredBytesRow extends Row {
  readonly way: string;
  readonly sentBytes: number;
  readonly wireBytes?: number;
  readonly wireBytesByTurn?: readonly number[];
}

test('bench:replication counts what the nine turns cost, tokenized and raw, as deltas and whole', async () => {
  const folder = temporaryFolder();
  try {
    const file = join(folder.path, 'rows.ndjson');
    const args = ['--import', 'tsx', 'benchmarks/replication.ts', '--quick', '--records', '120', '--rows', file];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout).toContain('Nine turns with 128-id replies');
    const rows = readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line): Row => JSON.parse(line));
    for (const row of rows)
      expect(row).toMatchObject({
        bench: 'replication',
        commit: expect.any(String),
        machine: expect.any(String),
        seed: expect.any(Number),
        replies: expect.stringContaining('Qwen2'),
      });
    const overNats = rows.filter(({ part }) => !part.startsWith('fred-'));
    expect(overNats.map(({ part }) => part)).toEqual(['delay', 'speed', 'bytes', 'bytes', 'bytes', 'bytes', 'bytes']);
    expect(rows[0]).toMatchObject({ turns: 20, p50Ms: expect.any(Number), p99Ms: expect.any(Number) });
    expect(rows[1]).toMatchObject({ records: 120, livePerSecond: expect.any(Number), catchUpMs: expect.any(Number) });

    const bytes = rows.filter((row): row is BytesRow => row.part === 'bytes');
    const of = (mode: string, portion: string) =>
      bytes.find((row) => row.mode === mode && row.portion === portion && row.stream === 'new') as BytesRow;
    for (const row of bytes) {
      expect(row.wireBytesByTurn).toHaveLength(9);
      expect(row.wireBytesByTurn.reduce((sum, turn) => sum + turn)).toBe(row.wireBytes);
      expect(row.wireBytes).toBeGreaterThanOrEqual(row.sentBytes);
      expect(row.sentBytes).toBeLessThan(row.recordBytes);
    }
    const { counted, wireBytes, wireBytesByTurn } = of('tokenized', 'delta');
    expect(wireBytes).toBeLessThan(of('raw', 'delta').wireBytes);
    expect(of('tokenized', 'whole').wireBytesByTurn[8]).toBeGreaterThan(3 * (wireBytesByTurn[8] as number));
    expect(of('tokenized', 'whole').wireBytes).toBeLessThan(of('raw', 'whole').wireBytes);
    // Flat: a later turn costs no more than an early one, give or take what it says.
    const later = wireBytesByTurn.slice(1);
    expect(Math.max(...later) / Math.min(...later)).toBeLessThan(1.5);
    if (counted === 'ip-packets') expect(wireBytes).toBeLessThanOrEqual(4_000);
    else process.stderr.write('bench:replication: no network namespaces here, so packets were not counted\n');

    const overFred = rows.filter(({ part }) => part.startsWith('fred-'));
    for (const row of overFred) expect(row.nodes).toBe('double');
    expect(overFred.filter(({ part }) => part === 'fred-delay')).toMatchObject([
      { way: 'whole-context-json', p50Ms: expect.any(Number), p99Ms: expect.any(Number) },
      { way: 'record-a-turn', p50Ms: expect.any(Number), p99Ms: expect.any(Number) },
    ]);
    expect(overFred.at(-1)).toMatchObject({ part: 'fred-catch-up', records: 120, catchUpMs: expect.any(Number) });
    for (const mode of ['tokenized', 'raw']) {
      const [json, turnByTurn] = overFred.filter((row) => row.part === 'fred-bytes' && row.mode === mode) as [
        FredBytesRow,
        FredBytesRow,
      ];
      expect([json.way, turnByTurn.way]).toEqual(['whole-context-json', 'record-a-turn']);
      expect(turnByTurn.sentBytes).toBeLessThan(json.sentBytes / 4);
      // Where the kernel can be asked.
      if (json.wireBytes === undefined) continue;
      expect(json.wireBytes).toBeGreaterThan(json.sentBytes);
      expect(turnByTurn.wireBytes).toBeLessThan(json.wireBytes / 2);
      expect(json.wireBytesByTurn?.[8]).toBeGreaterThan(3 * (json.wireBytesByTurn?.[0] as number));
    }
  } finally {
    folder.remove();
  }
});

// What a turn of the paper's scenario may cost on the wire: each reply is 128 ids of the real Qwen2 vocabulary, and the
// whole session, with what NATS, TLS and TCP add to a record, has to stay below 4,000 bytes a peer.
import { expect, test } from 'vitest';
import { WrittenSessions } from '../../../benchmarks/support/written-session.ts';
import { deltaBytes, openDelta } from '../../../src/context-store/replication/delta/delta-record.ts';
import type { TurnNumber } from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { turnRecord } from '../../../tools/turn-records.ts';

/** Message line, TLS, TCP/IP and its acknowledgement (docs/protocol.md). */
const AROUND_A_RECORD_BYTES = 206;
const SESSION_BYTES_MAX = 4_000;

test('the nine turns stay below 4,000 bytes a peer, and no turn costs more for what came before it', async () => {
  const sessions = await WrittenSessions.load();
  const turns: SealedRecord[] = [];
  for (const turn of sessions.session('tokenized', 'delta')) {
    const { origin, incarnation, keygroup, writtenAtMs, expiresAtMs } = turnRecord();
    const elapsedMs = turn.turn * 1_500;
    turns.push(
      sealRecord({
        kind: 'turn',
        ...turn,
        origin,
        incarnation,
        keygroup,
        writtenAtMs: writtenAtMs + elapsedMs,
        expiresAtMs: expiresAtMs + elapsedMs,
        parent: turns.at(-1)?.hash,
        requestDigest: turnRecord().requestDigest,
        contextStart: 1 as TurnNumber,
      }),
    );
  }
  const bytes = turns.map((sealed, i) => {
    const before = turns[i - 1];
    const delta = deltaBytes(sealed, before && { distance: 1, sealed: before });
    expect(openDelta(delta, sealed.record, () => before).hash).toBe(sealed.hash);
    return delta.length;
  });
  expect(turns).toHaveLength(9);
  // The first also names its session and its sampling.
  expect(bytes[0]).toBeLessThan(320);
  for (const later of bytes.slice(1)) expect(later).toBeLessThan(240);
  const onTheWire = bytes.reduce((sum, own) => sum + own + AROUND_A_RECORD_BYTES, 0);
  console.log(`bytes of the nine turns: ${bytes.join(' ')}; on the wire ${onTheWire}`);
  expect(onTheWire).toBeLessThan(SESSION_BYTES_MAX);
  // Of the record alone, its ids take all but about twenty bytes; without the delta form it would be twice as large.
  expect(bytes.reduce((sum, own) => sum + own)).toBeLessThan(
    0.51 * turns.reduce((sum, own) => sum + own.bytes.length, 0),
  );
});

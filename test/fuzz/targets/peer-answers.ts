import { decodeBeacon, encodeBeacon } from '../../../src/context-store/nats/peers/beacon.ts';
import {
  decodePage,
  decodeRecords,
  encodePage,
  encodeRecords,
} from '../../../src/context-store/replication/peers/log-answers.ts';
import { decodeSessionPage, encodeSessionPage } from '../../../src/context-store/replication/peers/session-page.ts';
import { decodeVerdict, encodeVerdict } from '../../../src/context-store/replication/peers/turn-verdict.ts';
import { MalformedBytes } from '../../../src/domain/bytes.ts';
import type { ContextId, Incarnation, KeygroupId, NodeId } from '../../../src/domain/identifiers.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';

const keygroup = '0011223344556677' as KeygroupId;
const log = { origin: 'n1' as NodeId, incarnation: '00000001' as Incarnation, keygroup };
const hash = 'ab'.repeat(16) as ContextId;
const page = { entries: [{ log, sequence: 3, turn: 1, hash }], more: true };

/** What nodes answer each other in bytes: whatever of it is taken can be written, and read again. */
export const open: OpenTarget = () => ({
  seeds: [
    encodePage({
      entries: [
        { sequence: 1, hash },
        { sequence: 9, hash },
      ],
      through: 12,
    }),
    encodeRecords({ covered: 2, records: [{ sequence: 1, bytes: Buffer.from('record') }] }),
    encodeSessionPage(page),
    encodeVerdict({ verdict: { kind: 'running', at: 'n2' as NodeId }, page }),
    encodeBeacon({ incarnation: log.incarnation, published: [1, 2_000_000] }),
  ],
  check(input) {
    again(
      () => decodePage(input),
      (read) => decodePage(encodePage(read)),
    );
    again(
      () => decodeRecords(input),
      (read) => decodeRecords(encodeRecords(read)),
    );
    again(
      () => decodeSessionPage(input, keygroup),
      (read) => decodeSessionPage(encodeSessionPage(read), keygroup),
    );
    again(
      () => decodeVerdict(input, keygroup),
      (read) => decodeVerdict(encodeVerdict(read), keygroup),
    );
    again(
      () => decodeBeacon(input),
      (read) => decodeBeacon(encodeBeacon(read)),
    );
  },
});

function again<T>(read: () => T | undefined, rewritten: (value: T) => T | undefined): void {
  const value = refusedOr(read, MalformedBytes);
  if (value === undefined) return;
  if (JSON.stringify(rewritten(value)) !== JSON.stringify(value)) throw new Error('is read otherwise a second time');
}

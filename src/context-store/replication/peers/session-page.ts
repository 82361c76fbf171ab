import { ByteReader, ByteWriter, MalformedBytes, pick } from '../../../domain/bytes.ts';
import type { ContextId, Incarnation, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import { HASH_BYTES } from '../../../domain/record/record-fields.ts';
import type { SessionEntry } from '../../leveldb/replica.ts';
import { LIST_ENTRIES_MAX } from './log-answers.ts';

/** What a node holds of one session, a page of it: hashes and places, no records. */
export interface SessionPage {
  /** In turn order, a tombstone before the first. */
  readonly entries: readonly SessionEntry[];
  /** Whether it has more, from the last entry's turn on. */
  readonly more: boolean;
}

/** Of a node's id. */
const ORIGIN_BYTES_MAX = 32;
const INCARNATION_BYTES = 4;

export function encodeSessionPage({ entries, more }: SessionPage): Uint8Array {
  const writer = new ByteWriter(64 + entries.length * (HASH_BYTES + 8));
  const logs = [...new Map(entries.map(({ log }) => [`${log.origin}/${log.incarnation}`, log]))];
  writer.byte(more ? 1 : 0);
  writer.varint(logs.length);
  for (const [, { origin, incarnation }] of logs) {
    writer.text(origin);
    writer.hex(incarnation, INCARNATION_BYTES);
  }
  const indexOf = new Map(logs.map(([name], index) => [name, index]));
  writer.varint(entries.length);
  for (const { log, sequence, turn, hash } of entries) {
    writer.varint(indexOf.get(`${log.origin}/${log.incarnation}`) as number);
    writer.varint(sequence);
    writer.varint(turn);
    writer.hex(hash, HASH_BYTES);
  }
  return writer.view();
}

/** Throws MalformedBytes. */
export function decodeSessionPage(data: Uint8Array, keygroup: KeygroupId): SessionPage {
  const reader = new ByteReader(data);
  const more = pick([false, true], reader.byte(), 'answer');
  const logs = Array.from({ length: reader.varint(LIST_ENTRIES_MAX) }, () => ({
    origin: reader.text(ORIGIN_BYTES_MAX) as NodeId,
    incarnation: reader.hex(INCARNATION_BYTES) as Incarnation,
    keygroup,
  }));
  const entries: SessionEntry[] = [];
  for (let left = reader.varint(LIST_ENTRIES_MAX); left > 0; left--) {
    const log = pick(logs, reader.varint(), 'log');
    const [sequence, turn] = [reader.varint(), reader.varint()];
    if (turn < (entries.at(-1)?.turn ?? 0)) throw new MalformedBytes('an entry before the one that precedes it');
    entries.push({ log, sequence, turn, hash: reader.hex(HASH_BYTES) as ContextId });
  }
  return { entries, more };
}

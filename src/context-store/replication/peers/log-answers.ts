import { ByteReader, ByteWriter, MalformedBytes } from '../../../domain/bytes.ts';
import type { ContextId } from '../../../domain/identifiers.ts';
import { RECORD_BYTES_MAX } from '../../../domain/record/record-codec.ts';
import { HASH_BYTES } from '../../../domain/record/record-fields.ts';
import { FETCH_RECORDS_MAX } from './peer-protocol.ts';

/** Entries in one list: 20 kB. */
export const LIST_ENTRIES_MAX = 1_000;
/** Bytes of records in one answer, beyond which it ends; a server's usual payload limit is 1 MB. */
export const FETCH_BYTES_MAX = 512 * 1024;

export interface LogPage {
  /** In order. */
  readonly entries: readonly { readonly sequence: number; readonly hash: ContextId }[];
  /** The holder has nothing else up to here; what it asked after when it has nothing more. */
  readonly through: number;
}

export function encodePage({ entries, through }: LogPage): Uint8Array {
  const writer = new ByteWriter(16 + entries.length * (HASH_BYTES + 3));
  writer.varint(through);
  writer.varint(entries.length);
  let before = 0;
  for (const { sequence, hash } of entries) {
    writer.varint(sequence - before);
    writer.hex(hash, HASH_BYTES);
    before = sequence;
  }
  return writer.view();
}

/** Throws MalformedBytes. */
export function decodePage(data: Uint8Array): LogPage {
  const reader = new ByteReader(data);
  const through = reader.varint();
  const entries: { sequence: number; hash: ContextId }[] = [];
  let before = 0;
  for (let left = reader.varint(LIST_ENTRIES_MAX); left > 0; left--) {
    before += reader.varint();
    entries.push({ sequence: before, hash: reader.hex(HASH_BYTES) as ContextId });
  }
  if (before > through) throw new MalformedBytes('an entry beyond the end of its page');
  return { entries, through };
}

export interface FetchedRecords {
  /** How many of the sequences asked for, from the first on, this answers. */
  readonly covered: number;
  /** Those of them that there still are. */
  readonly records: readonly { readonly sequence: number; readonly bytes: Uint8Array }[];
}

export function encodeRecords({ covered, records }: FetchedRecords): Uint8Array {
  const writer = new ByteWriter(64 + records.reduce((sum, { bytes }) => sum + bytes.length + 16, 0));
  writer.varint(covered);
  writer.varint(records.length);
  for (const { sequence, bytes } of records) {
    writer.varint(sequence);
    writer.varint(bytes.length);
    writer.raw(bytes);
  }
  return writer.view();
}

/** Throws MalformedBytes. */
export function decodeRecords(data: Uint8Array): FetchedRecords {
  const reader = new ByteReader(data);
  const covered = reader.varint(FETCH_RECORDS_MAX);
  const records: { sequence: number; bytes: Uint8Array }[] = [];
  for (let left = reader.varint(covered); left > 0; left--) {
    records.push({ sequence: reader.varint(), bytes: reader.raw(reader.varint(RECORD_BYTES_MAX)) });
  }
  return { covered, records };
}

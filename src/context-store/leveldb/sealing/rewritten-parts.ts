import type { KeyParts } from '../tables/key-codec.ts';
import type { TablePart } from '../tables/level-database.ts';
import { decodeRow } from '../tables/row-codec.ts';
import { AFTER_ALL_KEYGROUPS, type Tables } from '../tables/tables.ts';

/** Of records, in one part: written anew within a second or so. */
const PART_BYTES = 64 * 1024 * 1024;
/** Tables of what is sealed or blinded, by their prefix, and with which parts of a session's key each of them is in order. */
const OF_CONTENTS = [
  { prefix: 'r', keyParts: 3 },
  { prefix: 'o', keyParts: 3 },
  { prefix: 'd', keyParts: 2 },
];

/** The tables that have what was said, or digests of it, in parts that together leave nothing out. */
export async function partsOfContents(tables: Tables, partBytes = PART_BYTES): Promise<TablePart[]> {
  const borders: string[][] = [];
  let bytes = 0;
  for await (const { key, value } of tables.sessions.entries()) {
    if (bytes >= partBytes) {
      borders.push(key);
      bytes = 0;
    }
    bytes += decodeRow(value)?.bytes ?? 0;
  }
  return OF_CONTENTS.flatMap(({ prefix, keyParts }) => {
    const starts: KeyParts[] = [[], ...borders.map((key) => key.slice(0, keyParts))];
    return starts.map((from, at) => ({ prefix, from, before: starts[at + 1] ?? [AFTER_ALL_KEYGROUPS] }));
  });
}

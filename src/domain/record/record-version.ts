import type { SessionRecord } from './turn-record.ts';

/** The newest record format that this build reads and writes; told to other nodes. Version 1 is read for ever. */
export const RECORD_FORMAT_VERSION = 3;

/**
 * The oldest version that can say what a record says, which is the one it is written in: version 3 for messages added without
 * a generation and where it has a preamble, version 2 where it has extensions, content that is not plain text, or marks. So a
 * node of an older build reads everything that it could have written itself, and a record still has one form in bytes.
 */
export function formatVersionOf(record: SessionRecord): number {
  const isExtended = record.extensions !== undefined && record.extensions.size > 0;
  if (record.kind === 'tombstone') return isExtended ? 2 : 1;
  if (record.preamble !== undefined) return 3;
  const { payload } = record;
  if (payload.mode === 'items') return 3;
  if (isExtended) return 2;
  if (payload.mode === 'tokenized') return (payload.marks?.length ?? 0) > 0 ? 2 : 1;
  const contents = [...payload.messages.map(({ content }) => content), payload.reply];
  return contents.every((content) => typeof content === 'string') ? 1 : 2;
}

/** A sound record of a version that this build does not read: to be kept, or waited for, until the node is upgraded. */
export class NewerRecord extends Error {
  override readonly name = 'NewerRecord';
  readonly version: number;

  constructor(version: number) {
    super(`record version ${version}, this node reads versions up to ${RECORD_FORMAT_VERSION}`);
    this.version = version;
  }
}

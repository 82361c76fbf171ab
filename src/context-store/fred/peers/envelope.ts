import { ByteReader, ByteWriter, MalformedBytes, pick } from '../../../domain/bytes.ts';
import type { NodeId } from '../../../domain/identifiers.ts';
import { packBytes, unpackBytes } from '../seven-bit.ts';

const KINDS = ['question', 'answer', 'tell', 'announcement', 'ping'] as const;

/** What one node says to another: a question and its answer have one number, given by who asks. */
export interface Envelope {
  readonly kind: (typeof KINDS)[number];
  readonly from: NodeId;
  readonly number: number;
  readonly data: Uint8Array;
}

const NODE_ID_BYTES_MAX = 32;

export function encodeEnvelope({ kind, from, number, data }: Envelope): string {
  const writer = new ByteWriter(data.length + 64);
  writer.byte(KINDS.indexOf(kind));
  writer.text(from);
  writer.varint(number);
  writer.raw(data);
  return packBytes(writer.view());
}

/** `undefined` for anything else. */
export function decodeEnvelope(value: string): Envelope | undefined {
  const bytes = unpackBytes(value);
  if (bytes === undefined) return undefined;
  try {
    const reader = new ByteReader(bytes);
    const kind = pick(KINDS, reader.byte(), 'message');
    const from = reader.text(NODE_ID_BYTES_MAX) as NodeId;
    return { kind, from, number: reader.varint(), data: reader.raw(reader.remaining) };
  } catch (error) {
    if (error instanceof MalformedBytes) return undefined;
    throw error;
  }
}

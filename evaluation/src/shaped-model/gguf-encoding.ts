import { METADATA_TYPE, type MetadataEntry } from './gguf-metadata.ts';

export function stringEntry(key: string, text: string): MetadataEntry {
  return { key, encoded: Buffer.concat([uint32(METADATA_TYPE.string), string(text)]) };
}

export function uint32Entry(key: string, value: number): MetadataEntry {
  return { key, encoded: Buffer.concat([uint32(METADATA_TYPE.uint32), uint32(value)]) };
}

export function float32Entry(key: string, value: number): MetadataEntry {
  const encoded = Buffer.alloc(8);
  encoded.writeUInt32LE(METADATA_TYPE.float32, 0);
  encoded.writeFloatLE(value, 4);
  return { key, encoded };
}

export function boolEntry(key: string, value: boolean): MetadataEntry {
  return { key, encoded: Buffer.concat([uint32(METADATA_TYPE.bool), Buffer.from([value ? 1 : 0])]) };
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** Length and text, as GGUF writes every string. */
export function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

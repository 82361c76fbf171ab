import { type ByteReader, type ByteWriter, MalformedBytes } from '../bytes.ts';
import { TOKEN_ID_MAX, type TokenId, type TokenSequence } from '../token-sequence.ts';

/** How ids become bytes inside a record. A record names its codec, so a better one can be added beside these. */
export interface TokenCodec {
  readonly id: number;
  readonly name: string;
  /** Throws RangeError for what is not an id. */
  write(ids: TokenSequence, writer: ByteWriter): void;
  read(reader: ByteReader, count: number): TokenId[];
}

/** LEB128, about 2.0 bytes a token on a 150,000-id vocabulary (FACTS §5). */
export const VARINT_CODEC: TokenCodec = {
  id: 1,
  name: 'varint',
  write(ids, writer) {
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      if (id > TOKEN_ID_MAX) throw new RangeError('a token id out of range');
      writer.varint(id);
    }
  },
  read(reader, count) {
    if (count > reader.remaining) throw new MalformedBytes('more ids announced than bytes left');
    const ids = new Array<TokenId>(count);
    for (let i = 0; i < count; i++) ids[i] = reader.varint(TOKEN_ID_MAX) as TokenId;
    return ids;
  },
};

const CODECS: readonly TokenCodec[] = [VARINT_CODEC];

/** The codec new records are written with. */
export const CURRENT_TOKEN_CODEC = VARINT_CODEC;

export function tokenCodecById(id: number): TokenCodec {
  const codec = CODECS.find((candidate) => candidate.id === id);
  if (codec === undefined) throw new MalformedBytes(`unknown token codec ${id}`);
  return codec;
}

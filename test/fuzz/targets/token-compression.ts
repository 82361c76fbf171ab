import {
  compressIds,
  decompressIds,
  IDS_PER_BYTE_MAX,
} from '../../../src/context-store/replication/delta/token-compression.ts';
import { MalformedBytes } from '../../../src/domain/bytes.ts';
import { TOKEN_ID_MAX, type TokenId } from '../../../src/domain/token-sequence.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';

const COUNT_BYTES = 2;

/** The range coder and its model: any bytes read as ids, and any ids written and read again. */
export const open: OpenTarget = () => ({
  seeds: [[], [1, 2, 3], [7, 7, 7, 7, 0, TOKEN_ID_MAX]].map((ids) =>
    Buffer.concat([Buffer.of(ids.length, 0), compressIds(ids as TokenId[], [])]),
  ),
  check(input) {
    if (input.length < COUNT_BYTES) return;
    const body = input.subarray(COUNT_BYTES);
    const known = Array.from(body.subarray(0, 40)) as TokenId[];
    refusedOr(() => decompressIds(body, input.readUInt16LE(0), known), MalformedBytes);
    const ids = Array.from({ length: body.length >> 2 }, (_, at) => body.readUInt32LE(at * 4) % (TOKEN_ID_MAX + 1));
    const compressed = compressIds(ids as TokenId[], known);
    // What says more with a byte does not travel so.
    if (ids.length > compressed.length * IDS_PER_BYTE_MAX) return;
    const again = decompressIds(compressed, ids.length, known);
    if (ids.some((id, at) => id !== again[at])) throw new Error('other ids');
  },
});

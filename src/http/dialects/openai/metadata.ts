import { Type } from 'typebox';
import { DiscedgeError } from '../../../domain/errors.ts';
import { EXTENSION_BYTES_MAX, type Extensions } from '../../../domain/record/extensions.ts';

/** What OpenAI allows. */
const PAIRS_MAX = 16;
const KEY_CHARS_MAX = 64;
const VALUE_CHARS_MAX = 512;
/** What others write into the same record. */
const ROOM_FOR_OTHERS = 2_048;
/** Of what a record keeps for a client of this API. */
export const NOTE_BYTES_MAX = EXTENSION_BYTES_MAX - ROOM_FOR_OTHERS;

/** Not by a pattern of the keys, which those with a line break would get past. */
export const Metadata = Type.Unsafe<Record<string, string>>(
  Type.Object(
    {},
    {
      additionalProperties: Type.String({ maxLength: VALUE_CHARS_MAX }),
      propertyNames: { maxLength: KEY_CHARS_MAX },
      maxProperties: PAIRS_MAX,
      description: 'Up to 16 pairs, keys of up to 64 characters, values of up to 512.',
    },
  ),
);

export const METADATA = 'openai.metadata';

/** Metadata as a record keeps it. Throws `invalid_request` for more than a record holds. */
export function metadataExtension(metadata: Record<string, string>): Extensions {
  const bytes = new TextEncoder().encode(JSON.stringify(metadata));
  if (bytes.length <= NOTE_BYTES_MAX) return new Map([[METADATA, bytes]]);
  const message = `metadata is ${bytes.length} bytes as JSON, more than the ${NOTE_BYTES_MAX} that are kept of it`;
  throw new DiscedgeError('invalid_request', message, { param: 'metadata' });
}

import { Type } from 'typebox';

/** What OpenAI allows. */
const PAIRS_MAX = 16;
const KEY_CHARS_MAX = 64;
const VALUE_CHARS_MAX = 512;

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

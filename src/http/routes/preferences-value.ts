import { type Static, Type } from 'typebox';
import { PREFERENCES_BYTES_MAX, PREFERENCES_NAMES_MAX } from '../../context-manager/layers/user-preferences.ts';
import { invalid } from '../requests/parameters.ts';
import { unicodeText } from '../requests/request-fields.ts';

const NAME_CHARS_MAX = 64;
const text = () => unicodeText();

/** What a user prefers, as it goes over the wire. */
export const PreferencesValue = Type.Union([text(), Type.Record(Type.String({ maxLength: NAME_CHARS_MAX }), text())], {
  description: `A text, or up to ${PREFERENCES_NAMES_MAX} named ones; as JSON at most ${PREFERENCES_BYTES_MAX} bytes.`,
});
export type PreferencesValue = Static<typeof PreferencesValue>;

/** Throws `invalid_request` for more than every node may be asked to hold. */
export function requireSmall(preferences: PreferencesValue): void {
  const names = typeof preferences === 'string' ? 0 : Object.keys(preferences).length;
  if (names > PREFERENCES_NAMES_MAX)
    throw invalid('preferences', `preferences has ${names} names, and may have ${PREFERENCES_NAMES_MAX}`);
  const bytes = Buffer.byteLength(JSON.stringify(preferences));
  if (bytes > PREFERENCES_BYTES_MAX)
    throw invalid('preferences', `preferences has ${bytes} bytes, and may have ${PREFERENCES_BYTES_MAX}`);
}

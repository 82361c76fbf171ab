import { FredFailure } from './fred-failure.ts';

/*
 * What FReD takes, checked before it is sent: of a value with a bad id it writes the value to its log.
 */

/** FReD's own limit for one message is gRPC's of 4 MiB; keygroup, id and framing need a little of it. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
const ID_LENGTH_MAX = 64_900;
const FRAMING_BYTES = 64;

/** Of keygroups and ids alike. */
const NAME = /^[a-zA-Z0-9]+$/;

/** Throws `invalid` for a name that FReD refuses. */
export function checkName(what: 'keygroup' | 'id', name: string): void {
  if (!NAME.test(name) || name.length > ID_LENGTH_MAX) {
    throw new FredFailure('invalid', `FReD takes 1 to ${ID_LENGTH_MAX} letters and digits as ${what}`);
  }
}

/** Throws `invalid` for a value that FReD refuses and `too-large` for one that does not fit into a message. */
export function checkValue({ keygroup, id, value }: { keygroup: string; id: string; value: string }): void {
  if (value === '') throw new FredFailure('invalid', 'FReD takes no empty values');
  if (!value.isWellFormed()) throw new FredFailure('invalid', 'FReD takes values of whole characters only');
  const bytes = keygroup.length + id.length + Buffer.byteLength(value) + FRAMING_BYTES;
  if (bytes > MESSAGE_BYTES_MAX) {
    throw new FredFailure('too-large', `FReD takes messages of at most ${MESSAGE_BYTES_MAX} bytes; this is ${bytes}`);
  }
}

import { type ByteReader, type ByteWriter, MalformedBytes } from '../../../domain/bytes.ts';
import { ID_BYTES_MAX, type SessionId } from '../../../domain/identifiers.ts';

/** Session ids are mostly 16 random bytes in hex, with a UUID's dashes or without: the form says which. */
const FORMS = { text: 0, hex: 1, uuid: 2 } as const;
const RANDOM_BYTES = 16;

export function sessionIdForm(sessionId: SessionId): number {
  if (/^[0-9a-f]{32}$/.test(sessionId)) return FORMS.hex;
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(sessionId)) return FORMS.uuid;
  return FORMS.text;
}

/** The form itself is not written. */
export function writeSessionId(sessionId: SessionId, writer: ByteWriter): void {
  if (sessionIdForm(sessionId) === FORMS.text) writer.text(sessionId);
  else writer.hex(sessionId.replaceAll('-', ''), RANDOM_BYTES);
}

/** Throws MalformedBytes. */
export function readSessionId(reader: ByteReader, form: number): SessionId {
  if (form === FORMS.text) return reader.text(ID_BYTES_MAX) as SessionId;
  const digits = reader.hex(RANDOM_BYTES);
  if (form === FORMS.hex) return digits as SessionId;
  if (form !== FORMS.uuid) throw new MalformedBytes(`unknown form of a session id ${form}`);
  const parts = [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)];
  return parts.join('-') as SessionId;
}

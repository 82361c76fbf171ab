import { type ByteReader, type ByteWriter, MalformedBytes } from '../../../domain/bytes.ts';
import {
  ANONYMOUS,
  type ContextId,
  ID_BYTES_MAX,
  type SessionId,
  type TurnNumber,
  type UserId,
} from '../../../domain/identifiers.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import { HASH_BYTES } from '../../../domain/record/record-fields.ts';
import { type ExpectedTurn, expectedAfter, NO_TURN } from './expected-turn.ts';
import { readSessionId, sessionIdForm, writeSessionId } from './session-id-form.ts';

/* Where a record of a delta stands: in which session, and after which turn. */

/** Bits of the second byte. */
export const SHAPE = {
  tombstone: 1,
  afterParent: 2,
  anonymous: 4,
  sessionId: 8,
  raw: 32,
  inexact: 64,
  replyText: 128,
} as const;
const SESSION_ID_FORMS = 4;

interface Session {
  readonly userId: UserId;
  readonly sessionId: SessionId;
}

/** A turn's place, and what it is compared with there. */
export interface Place {
  readonly session: Session;
  readonly turn: TurnNumber;
  readonly parent: ContextId | undefined;
  readonly expected: ExpectedTurn;
}

export function readPlace(reader: ByteReader, shape: number): Place {
  const session = readSession(reader, shape);
  const turn = reader.varint() as TurnNumber;
  const parent = turn === 1 ? undefined : (reader.hex(HASH_BYTES) as ContextId);
  return { session, turn, parent, expected: NO_TURN };
}

/** Throws MalformedBytes where the parent is not here. */
export function placeAfter(parent: SealedRecord | undefined): Place {
  if (parent?.record.kind !== 'turn') throw new MalformedBytes('the parent is not here');
  const { userId, sessionId, turn } = parent.record;
  return {
    session: { userId, sessionId },
    turn: (turn + 1) as TurnNumber,
    parent: parent.hash,
    expected: expectedAfter(parent.record),
  };
}

export function sessionShape({ userId, sessionId }: Session): number {
  return (userId === ANONYMOUS ? SHAPE.anonymous : 0) | (sessionIdForm(sessionId) * SHAPE.sessionId);
}

export function writeSession({ userId, sessionId }: Session, writer: ByteWriter): void {
  if (userId !== ANONYMOUS) writer.text(userId);
  writeSessionId(sessionId, writer);
}

export function readSession(reader: ByteReader, shape: number): Session {
  const userId = (shape & SHAPE.anonymous) !== 0 ? ANONYMOUS : (reader.text(ID_BYTES_MAX) as UserId);
  const form = Math.floor(shape / SHAPE.sessionId) % SESSION_ID_FORMS;
  return { userId, sessionId: readSessionId(reader, form) };
}

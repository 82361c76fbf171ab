import { ByteReader, ByteWriter, MalformedBytes } from '../bytes.ts';
import {
  type ContextId,
  ID_BYTES_MAX,
  type KeygroupId,
  type SessionId,
  TURN_MAX,
  type TurnNumber,
} from '../identifiers.ts';
import type { Extensions } from './extensions.ts';
import { HASH_BYTES, KEYGROUP_BYTES } from './record-fields.ts';
import type { TombstoneRecord } from './turn-record.ts';

/** The last turn of a session, at either end of a move. */
export interface MovedTurn {
  readonly turn: TurnNumber;
  readonly contextId: ContextId;
}

/** Where a session went that a move has deleted, and what is told of the move: it is told again to who asks again. */
export interface MovedTo {
  /** Of the model that it goes on with. */
  readonly keygroup: KeygroupId;
  readonly sessionId: SessionId;
  readonly from: MovedTurn;
  readonly to: MovedTurn;
  readonly droppedTurns: number;
  /** What words did not carry, by name. */
  readonly notCarried: readonly string[];
}

const MOVED_TO = 'discedge.moved-to';
/** More names, and longer ones, than there are. */
const NAMES_MAX = 32;
const NAME_BYTES_MAX = 64;

/** Of the tombstone of the session that was moved. */
export function movedToExtension({ keygroup, sessionId, from, to, droppedTurns, notCarried }: MovedTo): Extensions {
  const writer = new ByteWriter();
  writer.hex(keygroup, KEYGROUP_BYTES);
  writer.text(sessionId);
  for (const { turn, contextId } of [from, to]) {
    writer.varint(turn);
    writer.hex(contextId, HASH_BYTES);
  }
  writer.varint(droppedTurns);
  writer.varint(notCarried.length);
  for (const name of notCarried) writer.text(name);
  return new Map([[MOVED_TO, Uint8Array.from(writer.view())]]);
}

/** `undefined` of a session that was not deleted by a move, or by one of a later version that says it otherwise. */
export function movedToOf({ extensions }: Pick<TombstoneRecord, 'extensions'>): MovedTo | undefined {
  const bytes = extensions?.get(MOVED_TO);
  if (bytes === undefined) return undefined;
  try {
    const reader = new ByteReader(bytes);
    const keygroup = reader.hex(KEYGROUP_BYTES) as KeygroupId;
    const sessionId = reader.text(ID_BYTES_MAX) as SessionId;
    const [from, to] = [readTurn(reader), readTurn(reader)];
    const droppedTurns = reader.varint(TURN_MAX);
    const names = reader.varint(NAMES_MAX);
    const notCarried = Array.from({ length: names }, () => reader.text(NAME_BYTES_MAX));
    return { keygroup, sessionId, from, to, droppedTurns, notCarried };
  } catch (error) {
    if (error instanceof MalformedBytes) return undefined;
    throw error;
  }
}

function readTurn(reader: ByteReader): MovedTurn {
  const turn = reader.varint(TURN_MAX) as TurnNumber;
  return { turn, contextId: reader.hex(HASH_BYTES) as ContextId };
}

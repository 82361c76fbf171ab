import { ByteReader, ByteWriter } from '../bytes.ts';
import { TURN_MAX, type TurnNumber } from '../identifiers.ts';
import type { Extensions } from './extensions.ts';
import type { Message, TurnRecord } from './turn-record.ts';

/**
 * What was put before the message of a turn's user out of earlier turns that its prompt leaves out. It is part of what the model
 * read, and so of the record and of every later prompt that has the turn; it is no part of what the user said.
 */
export interface Retrieved {
  /** Numbers of the turns it is of, ascending. */
  readonly turns: readonly TurnNumber[];
  /** So many UTF-16 units at the beginning of the last message of the user's. */
  readonly length: number;
  /** How they were found. */
  readonly by: Search;
}

export const SEARCHES = ['words', 'words_and_embeddings'] as const;
export type Search = (typeof SEARCHES)[number];

const RETRIEVED = 'discedge.retrieved';
/** Far more than are ever brought back at once. */
const TURNS_MAX = 256;

export function retrievedExtension({ turns, length, by }: Retrieved): Extensions {
  const writer = new ByteWriter();
  writer.varint(length);
  writer.varint(turns.length);
  for (const turn of turns) writer.varint(turn);
  // Left out as it was before there was any other.
  if (by !== 'words') writer.varint(SEARCHES.indexOf(by));
  return new Map([[RETRIEVED, Uint8Array.from(writer.view())]]);
}

/** `undefined` where nothing was brought back, or what it says cannot be read. */
export function retrievedOf({ extensions }: Pick<TurnRecord, 'extensions'>): Retrieved | undefined {
  const bytes = extensions?.get(RETRIEVED);
  if (bytes === undefined) return undefined;
  try {
    const reader = new ByteReader(bytes);
    const length = reader.varint();
    const count = reader.varint(TURNS_MAX);
    const turns = Array.from({ length: count }, () => reader.varint(TURN_MAX) as TurnNumber);
    const by = reader.remaining === 0 ? 'words' : SEARCHES[reader.varint(SEARCHES.length - 1)];
    return by && { length, turns, by };
  } catch {
    return undefined;
  }
}

/** The messages as they were said. */
export function withoutRetrieved(
  messages: readonly Message[],
  record: Pick<TurnRecord, 'extensions'>,
): readonly Message[] {
  const retrieved = retrievedOf(record);
  const at = messages.findLastIndex(({ role }) => role === 'user');
  const said = messages[at];
  if (retrieved === undefined || typeof said?.content !== 'string') return messages;
  return messages.with(at, { ...said, content: said.content.slice(retrieved.length) });
}

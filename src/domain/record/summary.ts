import { ByteReader, ByteWriter, MalformedBytes, pick } from '../bytes.ts';
import { type ContextId, TURN_MAX, type TurnNumber } from '../identifiers.ts';
import { EXTENSION_BYTES_MAX, type Extensions, readExtensions, writeExtensions } from './extensions.ts';
import { readPayload, writePayload } from './record-codec.ts';
import { HASH_BYTES, readStop, writeStop } from './record-fields.ts';
import { replyEndAlone } from './reply-end.ts';
import type { AnsweredRecord, StopReason, TurnRecord } from './turn-record.ts';

/** Which turns at the beginning of a line a summary is about. */
export interface SummedTurns {
  /** The last of them. */
  readonly through: TurnNumber;
  /** How many of the turns up to there it was made without: left out before, with nothing to stand for them. Fewer than all. */
  readonly absent: number;
}

/**
 * What stands in a context for its oldest turns: the request for a summary, and the model's answer, as one exchange. A turn whose
 * prompt is the first to begin with one keeps it, as it keeps instructions, and so do a fork's copies: a line of turns is read
 * without anything beside it.
 */
export interface Summary extends SummedTurns {
  readonly payload: AnsweredRecord['payload'];
  readonly stop: StopReason;
  /** What of the reply is no part of the conversation; absent where all of it is. */
  readonly extensions?: Extensions;
}

/** The context that a summary is of. */
export interface SummaryPlace extends SummedTurns {
  readonly of: ContextId;
}

/** How a line's context begins: the turns from one on word for word, and what stands for those before. */
export interface ContextBeginning<Standing extends SummedTurns = SummedTurns> {
  /** The first turn that is in it word for word; one more than the last where none is. */
  readonly contextStart: TurnNumber;
  /** What stands for turns before that; `undefined`: nothing does. */
  readonly summary: Standing | undefined;
}

/** How many turns the summary stands for. */
export function summedTurns({ through, absent }: SummedTurns): number {
  return through - absent;
}

/** How many turns before those that are read word for word nothing stands for. */
export function droppedTurns({ contextStart, summary }: ContextBeginning): number {
  return contextStart - 1 - (summary === undefined ? 0 : summedTurns(summary));
}

/** Marks a record that is no turn of its session but a summary of it, made ahead of its use or for it. */
const SUMMARY = 'discedge.summary';
/** In the record of a turn: what its prompt begins with. */
const BEGINS_WITH = 'discedge.begins-with';
const MODES = ['raw', 'tokenized'] as const;
/** Of the record format: contents of any kind, and marks. */
const PAYLOAD_VERSION = 2;
/** Leaves room for what else a turn's record carries. */
export const SUMMARY_BYTES_MAX = EXTENSION_BYTES_MAX / 2;

const read = new WeakMap<Uint8Array, Summary>();

export function summaryMark({ of, through, absent }: SummaryPlace): Extensions {
  const writer = new ByteWriter();
  writer.hex(of, HASH_BYTES);
  writer.varint(through);
  writer.varint(absent);
  return new Map([[SUMMARY, Uint8Array.from(writer.view())]]);
}

/** `undefined` of a turn of the session. */
export function summaryPlaceOf({ extensions }: Pick<TurnRecord, 'extensions'>): SummaryPlace | undefined {
  const bytes = extensions?.get(SUMMARY);
  if (bytes === undefined) return undefined;
  try {
    const reader = new ByteReader(bytes);
    return { of: reader.hex(HASH_BYTES) as ContextId, ...readSummedTurns(reader) };
  } catch {
    // Of a later build, perhaps; no turn all the same.
    return { of: '' as ContextId, through: 0 as TurnNumber, absent: 0 };
  }
}

/** As a turn's record carries it; throws RangeError for one longer than {@link SUMMARY_BYTES_MAX}. */
export function beginsWithExtension({ through, absent, payload, stop, extensions }: Summary): Extensions {
  const writer = new ByteWriter();
  writer.varint(through);
  writer.varint(absent);
  writeStop(stop, writer);
  writeExtensions(extensions, writer);
  writer.byte(MODES.indexOf(payload.mode));
  writePayload(payload, PAYLOAD_VERSION, writer);
  const bytes = Uint8Array.from(writer.view());
  if (bytes.length > SUMMARY_BYTES_MAX) throw new RangeError(`a summary of ${bytes.length} bytes`);
  return new Map([[BEGINS_WITH, bytes]]);
}

/**
 * What the turn's prompt begins with; `undefined` where it begins as the one before it did, with no summary, or with what is none of
 * its own context: one in another mode, or of turns that the prompt has word for word.
 */
export function beginningOf({
  extensions,
  payload,
  contextStart,
}: Pick<TurnRecord, 'extensions' | 'payload' | 'contextStart'>): Summary | undefined {
  const bytes = extensions?.get(BEGINS_WITH);
  const summary = bytes && summaryIn(bytes);
  return summary?.payload.mode === payload.mode && summary.through < contextStart ? summary : undefined;
}

function summaryIn(bytes: Uint8Array): Summary | undefined {
  const known = read.get(bytes);
  if (known !== undefined) return known;
  try {
    const summary = readSummary(new ByteReader(bytes));
    read.set(bytes, summary);
    return summary;
  } catch (error) {
    if (error instanceof MalformedBytes) return undefined;
    throw error;
  }
}

function readSummary(reader: ByteReader): Summary {
  const turns = readSummedTurns(reader);
  const stop = readStop(reader);
  const extensions = readExtensions(reader);
  const payload = readPayload(pick(MODES, reader.byte(), 'mode'), reader, PAYLOAD_VERSION);
  if (payload.mode === 'items' || reader.remaining > 0) throw new MalformedBytes('no summary');
  return { ...turns, stop, payload, ...extensions };
}

function readSummedTurns(reader: ByteReader): SummedTurns {
  const through = reader.varint(TURN_MAX) as TurnNumber;
  return { through, absent: reader.varint(through - 1) };
}

/** What a record says that is a summary; `undefined` of a turn. */
export function summaryOf(record: TurnRecord): Summary | undefined {
  const place = summaryPlaceOf(record);
  const { payload, stop } = record;
  if (place === undefined || payload.mode === 'items') return undefined;
  return { through: place.through, absent: place.absent, payload, stop, ...replyEndAlone(record) };
}

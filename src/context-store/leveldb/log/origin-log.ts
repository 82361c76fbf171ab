import type { ContextId, Incarnation, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { SealedRecord } from '../../../domain/record/record-codec.ts';
import type { EvictedLog, LoggedSession } from '../room/other-holders.ts';
import { type RecordKey, recordKey, type Tables } from '../tables/tables.ts';
import { DeletedChanges } from './deleted-records.ts';

/** The records one node wrote for one keygroup on one disk, numbered from 1 in the order it wrote them. */
export interface OriginLog {
  readonly origin: NodeId;
  readonly incarnation: Incarnation;
  readonly keygroup: KeygroupId;
}

/** Whether a node has written the log, on the disk that it has now. */
export function isOf(
  { origin, incarnation }: OriginLog,
  node: { readonly nodeId: NodeId; readonly incarnation: Incarnation },
): boolean {
  return origin === node.nodeId && incarnation === node.incarnation;
}

/** How far a log is settled here: every record up to `sequence` was taken in, refused, or is gone at its origin. */
export interface LogCursor {
  readonly sequence: number;
  /** Where in the origin's stream that was; meaningless once the stream has been recreated. */
  readonly streamSequence: number;
}

export interface LogEntry {
  readonly sequence: number;
  readonly hash: ContextId;
  readonly recordKey: RecordKey;
}

export interface LogPosition {
  readonly log: OriginLog;
  readonly sequence: number;
}

/** A log as this node holds it. */
export interface LogState {
  readonly log: OriginLog;
  readonly cursor: LogCursor;
  /** Of the last record known, settled or not. */
  readonly last: number;
  /** Records up to here were evicted, or not taken in; 0 where none was. */
  readonly evictedThrough: number;
}

const START: LogCursor = { sequence: 0, streamSequence: 0 };

export function logText({ origin, incarnation, keygroup }: OriginLog): string {
  return `${origin}/${incarnation}/${keygroup}`;
}

export function readCursor(tables: Tables, log: OriginLog): LogCursor {
  const text = tables.cursors.get(logKey(log));
  if (text === undefined) return START;
  const [sequence, streamSequence] = JSON.parse(text);
  return { sequence, streamSequence };
}

/** Where a record of this keygroup is logged; `undefined` for one of another keygroup, too. */
export function readPosition(tables: Tables, hash: ContextId, keygroup: KeygroupId): LogPosition | undefined {
  const position = tables.positions.get([hash]);
  if (position === undefined) return undefined;
  const [origin, incarnation, sequence] = position;
  const log = { origin, incarnation, keygroup } as OriginLog;
  const entry = tables.log.get([...logKey(log), sequence]);
  return entry?.[3] === hash ? { log, sequence } : undefined;
}

/** Entries after a sequence, in order. A sequence without an entry has no record any more, or not yet. */
export async function readLog(
  tables: Tables,
  log: OriginLog,
  { after, limit }: { after: number; limit: number },
): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  for await (const { key, value } of tables.log.entries({ ...entriesAfter(log, after), limit }))
    entries.push(logEntry(log, key[3], value));
  return entries;
}

/** The entry at a sequence; `undefined` where it has no record any more, or not yet. */
export function readLogEntry(tables: Tables, log: OriginLog, sequence: number): LogEntry | undefined {
  const value = tables.log.get([...logKey(log), sequence]);
  return value && logEntry(log, sequence, value);
}

function logEntry(log: OriginLog, sequence: number, value: ReturnType<Tables['log']['get']> & {}): LogEntry {
  const [userId, sessionId, turn, hash] = value;
  return { sequence, hash: hash as ContextId, recordKey: [log.keygroup, userId, sessionId, turn, hash] };
}

/** How many entries there are after a sequence. */
export async function countLog(tables: Tables, log: OriginLog, after: number): Promise<number> {
  let entries = 0;
  for await (const _ of tables.log.keys(entriesAfter(log, after))) entries++;
  return entries;
}

export async function isLogEmpty(tables: Tables, log: OriginLog): Promise<boolean> {
  for await (const _ of tables.log.keys({ within: logKey(log), limit: 1 })) return false;
  return true;
}

export async function readLogStates(tables: Tables): Promise<LogState[]> {
  const states: LogState[] = [];
  for await (const [origin, incarnation, keygroup] of tables.cursors.keys())
    states.push(await readLogState(tables, { origin, incarnation, keygroup } as OriginLog));
  return states;
}

/** Of a log that is not known here, an empty one. */
export async function readLogState(tables: Tables, log: OriginLog): Promise<LogState> {
  const cursor = readCursor(tables, log);
  let last = cursor.sequence;
  for await (const key of tables.log.keys({ within: logKey(log), newestFirst: true, limit: 1 }))
    last = Math.max(last, key[3]);
  return { log, cursor, last, evictedThrough: readEvictedThrough(tables, log) };
}

export function readEvictedThrough(tables: Tables, log: OriginLog): number {
  return tables.evicted.get(logKey(log)) ?? 0;
}

function entriesAfter(log: OriginLog, after: number) {
  return { within: logKey(log), from: [...logKey(log), after + 1] };
}

/**
 * What one group of work changes in the logs. An own record gets the next sequence of its log; an entry goes when its
 * record goes, and the cursor stays: a peer that asks for what is gone can be told so.
 */
export class LogChanges {
  readonly #tables: Tables;
  readonly #own: Omit<OriginLog, 'keygroup'>;
  readonly #added = new Map<ContextId, LogPosition & { readonly recordKey: RecordKey }>();
  readonly #removed = new Map<ContextId, LogPosition>();
  readonly #notes = new Map<string, string>();
  readonly #cursors = new Map<string, { readonly log: OriginLog; readonly cursor: LogCursor }>();
  readonly #forgotten = new Map<string, OriginLog>();
  readonly #evicted = new Map<string, EvictedLog>();
  readonly #deleted = new DeletedChanges();
  readonly #remembersDeleted: boolean;

  /** `remembersDeleted`: own records that are deleted are, until they are settled. */
  constructor(
    tables: Tables,
    own: Omit<OriginLog, 'keygroup'>,
    { remembersDeleted }: { readonly remembersDeleted: boolean },
  ) {
    this.#tables = tables;
    this.#own = own;
    this.#remembersDeleted = remembersDeleted;
  }

  get isEmpty(): boolean {
    if (!this.#deleted.isEmpty || this.#evicted.size > 0) return false;
    return this.#added.size + this.#removed.size + this.#cursors.size + this.#notes.size + this.#forgotten.size === 0;
  }

  /** Notes where a record is logged; `received` for one that came with its position. A record keeps its first position. */
  add(sealed: SealedRecord, received?: LogPosition): void {
    if (this.#added.has(sealed.hash)) return;
    if (!this.#removed.has(sealed.hash) && this.#tables.positions.get([sealed.hash]) !== undefined) return;
    const position = received ?? this.#nextOwn(sealed);
    if (position !== undefined) this.#added.set(sealed.hash, { ...position, recordKey: recordKey(sealed) });
  }

  remove(hash: ContextId, keygroup: KeygroupId): void {
    this.#added.delete(hash);
    const position = readPosition(this.#tables, hash, keygroup);
    if (position !== undefined) this.#removed.set(hash, position);
  }

  /** The record is about to be removed because its session is deleted. */
  noteDeleted(hash: ContextId, keygroup: KeygroupId): void {
    if (!this.#remembersDeleted) return;
    const position = readPosition(this.#tables, hash, keygroup);
    const { origin, incarnation } = this.#own;
    if (position?.log.origin === origin && position.log.incarnation === incarnation) this.#deleted.add(position);
  }

  settleDeleted(keygroup: KeygroupId, sequences: readonly number[]): void {
    this.#deleted.settle(keygroup, sequences);
  }

  cursor(log: OriginLog): LogCursor {
    return this.#cursors.get(logText(log))?.cursor ?? readCursor(this.#tables, log);
  }

  settle(log: OriginLog, cursor: LogCursor): void {
    this.#cursors.set(logText(log), { log, cursor });
  }

  /** A log of which nothing is left. */
  forget(log: OriginLog): void {
    this.#forgotten.set(logText(log), log);
  }

  /** The session that has these records is evicted. */
  noteEvicted({ spans }: LoggedSession): void {
    for (const { log, last } of spans) this.noteMissing(log, last);
  }

  /** Nothing of the log up to there can be counted on here. */
  noteMissing(log: OriginLog, through: number): void {
    const before = this.#evicted.get(logText(log))?.through ?? readEvictedThrough(this.#tables, log);
    this.#evicted.set(logText(log), { log, through: Math.max(before, through) });
  }

  /** The logs of which something is evicted. */
  get evicted(): EvictedLog[] {
    return [...this.#evicted.values()];
  }

  /** Keeps a small text under a name. */
  note(name: string, text: string): void {
    this.#notes.set(name, text);
  }

  /** To be called while the tables are written. */
  write(): void {
    const { log, positions, cursors, evicted, meta } = this.#tables;
    for (const [hash, position] of this.#removed) {
      positions.remove([hash]);
      log.remove([...logKey(position.log), position.sequence]);
    }
    for (const [hash, { log: added, sequence, recordKey }] of this.#added) {
      const [, userId, sessionId, turn] = recordKey;
      positions.put([hash], [added.origin, added.incarnation, sequence]);
      log.put([...logKey(added), sequence], [userId, sessionId, turn, hash]);
    }
    for (const [name, text] of this.#notes) meta.put([name], text);
    this.#deleted.write(this.#tables);
    for (const { log, through } of this.#evicted.values()) evicted.put(logKey(log), through);
    for (const log of this.#forgotten.values()) {
      cursors.remove(logKey(log));
      evicted.remove(logKey(log));
    }
    for (const { log, cursor } of this.#cursors.values())
      cursors.put(logKey(log), JSON.stringify([cursor.sequence, cursor.streamSequence]));
  }

  /** An own record gets the next sequence; nothing is changed where it is not logged there any more. */
  renumber(log: OriginLog, { hash, sequence }: LogEntry): void {
    const entry = readLogEntry(this.#tables, log, sequence);
    if (entry?.hash !== hash || this.#removed.has(hash)) return;
    this.#removed.set(hash, { log, sequence });
    this.#added.set(hash, { ...this.#next(log), recordKey: entry.recordKey });
  }

  /** `undefined` for a record of another node or disk: this node does not publish it. */
  #nextOwn({ record }: SealedRecord): LogPosition | undefined {
    const { origin, incarnation } = this.#own;
    if (record.origin !== origin || record.incarnation !== incarnation) return undefined;
    return this.#next({ origin, incarnation, keygroup: record.keygroup });
  }

  #next(log: OriginLog): LogPosition {
    const { sequence, streamSequence } = this.cursor(log);
    this.settle(log, { sequence: sequence + 1, streamSequence });
    return { log, sequence: sequence + 1 };
  }
}

function logKey({ origin, incarnation, keygroup }: OriginLog): [string, string, string] {
  return [origin, incarnation, keygroup];
}

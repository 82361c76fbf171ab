import type { KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import { NewerRecord } from '../../../domain/record/record-version.ts';
import type { Clock, Logger } from '../../../environment/environment.ts';
import { abortable } from '../../../waiting/abortable.ts';
import { BackOff } from '../../../waiting/back-off.ts';
import { Bell } from '../../../waiting/bell.ts';
import { pause } from '../../../waiting/pause.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { failureText } from '../failure-text.ts';
import { LIST_ENTRIES_MAX, type LogPage } from '../peers/log-answers.ts';
import { FETCH_RECORDS_MAX } from '../peers/peer-protocol.ts';
import { SignerUnknown } from '../signatures/known-signers.ts';
import type { Applier, SoundRecord } from './applier.ts';
import type { Holder } from './back-fill.ts';
import type { LogGap, LogGaps } from './log-gaps.ts';

/** Name of the note that keeps the gaps from one start to the next. */
const GAPS = 'gaps';
/** While a log is caught up with its gaps come one after the other: they are asked for together. */
const GATHER_MS = 500;
/** Of lists and records together, so that what is written now goes first. */
const BYTES_PER_SECOND = 2 * 1024 * 1024;
const LIST_ENTRY_BYTES = 20;
const RETRY_FIRST_MS = 5_000;
const RETRY_MAX_MS = 300_000;

export interface GapFillsParts {
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  /** Peers that share the keygroup and can be asked now. */
  readonly holders: (keygroup: KeygroupId) => readonly Holder[];
  /** Peers that may share it, also those that cannot be asked now. */
  readonly mayHold: (keygroup: KeygroupId) => readonly NodeId[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Gets what is gone at its origin from whoever else holds it: each peer is asked once for each gap, as soon as it can be.
 * Goes on beside all other pulling and moves no cursor. What no peer holds is gone. A store that evicts has no room for more
 * than it is sent, and asks for nothing; so nothing that it has evicted comes back this way.
 */
export class GapFills {
  readonly #parts: GapFillsParts;
  readonly #gaps: LogGaps;
  readonly #bell: Bell;
  readonly #end = new AbortController();
  #kept: string;
  #running: Promise<void> = Promise.resolve();

  constructor(parts: GapFillsParts) {
    this.#parts = parts;
    this.#gaps = parts.applier.gaps;
    this.#bell = new Bell(parts.clock);
    this.#kept = parts.replica.noted(GAPS) ?? '[]';
    this.#gaps.take(this.#kept);
    this.#gaps.onNoted = () => this.look();
  }

  start(): void {
    this.#running = this.#run(this.#end.signal);
  }

  /** A peer can be asked, or is known no more. */
  look(): void {
    this.#bell.ring();
  }

  /** What has not been asked for by then is at the next start. */
  async close(): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    for (;;) {
      const haveAllAnswered = await this.#askAll(signal);
      await this.#keep();
      if (signal.aborted) return;
      if (haveAllAnswered) backOff.reset();
      await this.#bell.wait(signal, haveAllAnswered ? Number.POSITIVE_INFINITY : backOff.next());
      await this.#keep();
      await pause(this.#parts.clock, GATHER_MS, signal);
    }
  }

  async #askAll(signal: AbortSignal): Promise<boolean> {
    const { holders, mayHold, logger } = this.#parts;
    const silent = new Set<NodeId>();
    for (const log of this.#gaps.logs) {
      const isOrigin = (nodeId: NodeId) => nodeId === log.origin;
      for (const holder of holders(log.keygroup)) {
        if (signal.aborted) return true;
        if (isOrigin(holder.nodeId) || silent.has(holder.nodeId)) continue;
        await this.#ask(holder, log, signal).catch((error) => {
          silent.add(holder.nodeId);
          logger.debug('gap_not_filled', { peer: holder.nodeId, origin: log.origin, why: failureText(error) });
        });
      }
      if (signal.aborted) return true;
      this.#gaps.settle(
        log,
        mayHold(log.keygroup).filter((nodeId) => !isOrigin(nodeId)),
      );
    }
    return silent.size === 0;
  }

  /** Throws what the holder and the store throw: it is asked again for the rest. */
  async #ask(holder: Holder, log: OriginLog, signal: AbortSignal): Promise<void> {
    const { logger } = this.#parts;
    const names = { peer: holder.nodeId, origin: log.origin };
    let records = 0;
    for (const gap of this.#gaps.openFor(log, holder.nodeId)) {
      for (let after = gap.first - 1; after < gap.last; ) {
        if (await this.#isFull()) return this.#giveUp();
        const page = await abortable(holder.list(log, after), signal);
        await this.#pace(page.entries.length * LIST_ENTRY_BYTES, signal);
        const taken = await this.#take(holder, { log, entries: this.#missing(log, gap, page) }, signal);
        records += taken ?? 0;
        if (taken === undefined) logger.warn('gap_not_filled', { ...names, why: 'it does not hand out what it lists' });
        // A page that has room left is the last, or its holder could be asked for ever.
        const isLast = page.entries.length < LIST_ENTRIES_MAX || page.through <= after || taken === undefined;
        after = isLast ? gap.last : Math.min(page.through, gap.last);
        this.#gaps.noteAsked(log, holder.nodeId, after);
      }
    }
    if (records > 0) logger.info('gaps_filled', { ...names, records });
  }

  /** The cursors are past what is not asked for any more. */
  async #giveUp(): Promise<void> {
    await this.#parts.replica.noteMissing(this.#gaps.ends);
    this.#gaps.clear();
  }

  #missing(log: OriginLog, { first, last }: LogGap, { entries }: LogPage): LogPage['entries'] {
    const { replica } = this.#parts;
    return entries.filter(
      ({ sequence, hash }) =>
        sequence >= first && sequence <= last && replica.positionOf(hash, log.keygroup) === undefined,
    );
  }

  /** How many came; `undefined` when the peer lists what it does not hand out. */
  async #take(
    holder: Holder,
    { log, entries }: { readonly log: OriginLog; readonly entries: LogPage['entries'] },
    signal: AbortSignal,
  ): Promise<number | undefined> {
    let taken = 0;
    for (let left = entries; left.length > 0 && !(await this.#isFull()); ) {
      const sequences = left.slice(0, FETCH_RECORDS_MAX).map(({ sequence }) => sequence);
      const { covered, records } = await abortable(holder.fetch(log, sequences), signal);
      const sound: SoundRecord[] = [];
      for (const record of records) sound.push(...(await this.#opened(holder, log, { ...record, listed: left })));
      if (covered === 0 || sound.length === 0) return undefined;
      await this.#parts.applier.takeFetched(log, sound, { areUsed: false });
      taken += sound.length;
      const bytes = records.reduce((sum, record) => sum + record.bytes.length, 0);
      await this.#pace(bytes, signal);
      left = left.slice(covered);
    }
    return taken;
  }

  /** A newer record than this build reads comes with its session, once the node is upgraded; one of unknown key, once it is known. */
  async #opened(
    holder: Holder,
    log: OriginLog,
    { sequence, bytes, listed }: { sequence: number; bytes: Uint8Array; listed: LogPage['entries'] },
  ): Promise<SoundRecord[]> {
    const { applier } = this.#parts;
    try {
      const sealed = await applier.openFetchedFrom(holder, { log, sequence, bytes });
      if (sealed === undefined) return [];
      if (listed.some((entry) => entry.sequence === sequence && entry.hash === sealed.hash))
        return [{ sequence, sealed }];
      applier.refuse(holder.nodeId, 'unknown_sequence');
      return [];
    } catch (error) {
      if (error instanceof NewerRecord || error instanceof SignerUnknown) return [];
      throw error;
    }
  }

  async #isFull(): Promise<boolean> {
    return (await this.#parts.replica.status()).evictedSessions > 0;
  }

  #pace(bytes: number, signal: AbortSignal): Promise<void> {
    return pause(this.#parts.clock, (bytes / BYTES_PER_SECOND) * 1000, signal);
  }

  async #keep(): Promise<void> {
    const text = this.#gaps.toText();
    if (text === this.#kept) return;
    this.#kept = text;
    await this.#parts.replica.note(GAPS, text).catch((error) => this.#parts.logger.warn('gaps_not_kept', {}, error));
  }
}

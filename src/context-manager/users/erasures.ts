import { DiscedgeError } from '../../domain/errors.ts';
import type { SessionKey, UserId } from '../../domain/identifiers.ts';
import { type Erasure, erasureExtension, erasureKey, erasureOf } from '../../domain/record/erasure.ts';
import { Lifetimes } from '../../domain/time/lifetimes.ts';
import type { Environment } from '../../environment/environment.ts';
import { BackOff } from '../../waiting/back-off.ts';
import { OneAtATime } from '../../waiting/one-at-a-time.ts';
import { Pause, pause } from '../../waiting/pause.ts';
import { within } from '../../waiting/within.ts';
import type { ClusterDocuments } from '../documents/cluster-documents.ts';
import type { NodeOptions } from '../node-options.ts';
import type { SessionRecords } from '../sessions/session-records.ts';
import type { RunningTurns } from '../turn/running-turns.ts';
import {
  confirmationBytes,
  delayBytes,
  type ErasureReceipt,
  isConfirmedBy,
  openingBytes,
  receiptOf,
} from './erasure-receipt.ts';

const RECEIPT_BYTES = 16;
/** Under way here: each has files written anew, one after the other. */
const ERASURES_MAX = 1_000;
const ERASURE_RETRY_MS = 1_000;
/** A store that has failed is tried again, ever more seldom: what was promised to be erased is erased. */
const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** An engine that has been started again has loaded a model of some GB by then; after it the receipt tells what is waited for. */
export const STATES_WAIT_MS = 30_000;

export interface ErasuresParts {
  readonly records: SessionRecords;
  readonly documents: ClusterDocuments;
  readonly running: Pick<RunningTurns, 'stopUser'>;
  /** Drops the KV state of a user's sessions; resolves once there is none. */
  readonly forgetStates: (userId: UserId) => Promise<void>;
  readonly options: Pick<NodeOptions, 'nodeId' | 'incarnation' | 'ttlSecondsMax'>;
  readonly environment: Pick<Environment, 'clock' | 'logger' | 'random'>;
}

/**
 * Erases users: everything that is kept of one, on every node, whoever is there. An erasure is a record that comes to all
 * nodes; each removes what it is of, refuses what still comes of it, has its files and its engines forget it, and then says so on the
 * receipt.
 */
export class Erasures {
  readonly #parts: ErasuresParts;
  readonly #closing = new AbortController();
  /** By receipt, the removals under way: with how many sessions went. */
  readonly #removals = new Map<string, Promise<number>>();
  /** Whose erasure this node was asked for, or has heard of, and has not confirmed. */
  readonly #underWay = new Set<UserId>();
  readonly #waiting = new Set<Pause>();
  /** Files are written anew for one erasure after the other. */
  readonly #wipes = new OneAtATime();
  readonly #stopListening: () => void;

  constructor(parts: ErasuresParts) {
    this.#parts = parts;
    const { records, documents } = parts;
    const endRecords = records.onRecord(({ record }) => {
      const erasure = erasureOf(record);
      if (erasure !== undefined) this.#begin(erasure);
    });
    const endReceipts = documents.onArrived('erasure-receipt', () => this.#wake());
    this.#stopListening = () => {
      endRecords();
      endReceipts();
    };
  }

  /** Goes on with what an earlier process had begun and not confirmed. Throws what the store throws. */
  async resume(): Promise<void> {
    const { documents, records, options } = this.#parts;
    for (const erasure of records.erasures.all) {
      const versions = await documents.versions('erasure-receipt', erasure.receiptId);
      if (!isConfirmedBy(options.nodeId, versions)) this.#begin(erasure);
    }
  }

  /** Whether this node has not finished an erasure of the user. */
  isUnderWay(userId: UserId): boolean {
    return this.#underWay.has(userId);
  }

  close(): void {
    this.#stopListening();
    this.#closing.abort(new DiscedgeError('shutting_down', 'the node is stopping'));
  }

  /**
   * When it resolves the erasure is durable here, and nothing of what it is of is found at this node any more; what other nodes
   * have confirmed within `waitMs` is on the receipt. Throws what the store throws; asked again, it is another erasure. Throws
   * `overloaded` while this node has not finished one of the same user, or of very many.
   */
  async erase(
    userId: UserId,
    wait: { readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<ErasureReceipt> {
    if (this.#underWay.has(userId) || this.#underWay.size >= ERASURES_MAX) throw erasing();
    this.#underWay.add(userId);
    const opening = await this.#write(userId).catch((error) => {
      this.#underWay.delete(userId);
      throw error;
    });
    await this.#removals.get(opening.receiptId);
    return (await this.#confirmedBy(opening, wait)) ?? opening;
  }

  /** What begins when the record is here goes on whoever waits. */
  async #write(userId: UserId): Promise<ErasureReceipt> {
    const { records, options, environment } = this.#parts;
    const { nodeId, incarnation, ttlSecondsMax } = options;
    const erasedAtMs = environment.clock.now();
    const receiptId = Buffer.from(environment.random.bytes(RECEIPT_BYTES)).toString('hex');
    const peers = records.sharing?.status().peers.filter(({ state }) => state !== 'refused') ?? [];
    const nodes = [nodeId, ...peers.map((peer) => peer.nodeId)].map((id) => ({ nodeId: id, confirmed: undefined }));
    const opening: ErasureReceipt = { receiptId, userId, erasedAtMs, nodes };
    const ttlMsMax = ttlSecondsMax * 1000;
    await this.#putOnReceipt(receiptId, openingBytes(opening));
    const stamp = Math.max(erasedAtMs, records.erasures.latest(userId) + 1);
    const unsure = records.marksFor(erasureKey(userId)).extensions ?? [];
    await records.write({
      kind: 'tombstone',
      ...erasureKey(userId),
      origin: nodeId,
      incarnation,
      writtenAtMs: erasedAtMs,
      expiresAtMs: Lifetimes.tombstoneExpiresAtMs({ expiresAtMs: 0, deletedAtMs: erasedAtMs, ttlMsMax }),
      extensions: new Map([...erasureExtension({ stamp, receiptId }), ...unsure]),
    });
    return opening;
  }

  /**
   * As far as is known here; `undefined` for one that is not, or of another user, of which nothing is looked up either. Throws what the
   * store throws.
   */
  async receipt(userId: UserId, receiptId: string): Promise<ErasureReceipt | undefined> {
    const { documents, records } = this.#parts;
    if (!records.erasures.of(userId).some((erasure) => erasure.receiptId === receiptId)) return undefined;
    const receipt = receiptOf(receiptId, await documents.versions('erasure-receipt', receiptId));
    return receipt?.userId === userId ? receipt : undefined;
  }

  /** The receipt once nobody is awaited, or when the wait is over. */
  async #confirmedBy(
    { userId, receiptId }: ErasureReceipt,
    { waitMs, signal }: { readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<ErasureReceipt | undefined> {
    const { clock } = this.#parts.environment;
    const endMs = clock.monotonic() + waitMs;
    for (;;) {
      const leftMs = endMs - clock.monotonic();
      const news = new Pause(clock, Math.max(0, leftMs), AbortSignal.any([signal, this.#closing.signal]));
      this.#waiting.add(news);
      try {
        const receipt = await this.receipt(userId, receiptId);
        const isWhole = receipt?.nodes.every(({ confirmed }) => confirmed !== undefined);
        if (isWhole || leftMs <= 0 || signal.aborted || this.#closing.signal.aborted) return receipt;
        await news.over;
      } finally {
        this.#waiting.delete(news);
        news.end();
      }
    }
  }

  #wake(): void {
    for (const waiting of this.#waiting) waiting.end();
  }

  /** Called in the moment in which the erasure is here: turns under way that began before it must not be stored. */
  #begin(erasure: Erasure): void {
    const { userId, receiptId } = erasure;
    if (this.#removals.has(receiptId)) return;
    const reason = 'everything of this user was erased while the turn was under way; nothing was stored';
    this.#parts.running.stopUser(userId, new DiscedgeError('session_deleted', reason));
    const removal = this.#remove(userId);
    this.#removals.set(receiptId, removal);
    this.#underWay.add(userId);
    void this.#finish(erasure, removal).finally(() => {
      this.#removals.delete(receiptId);
      this.#underWay.delete(userId);
    });
  }

  /** Never rejects. */
  async #finish({ userId, receiptId }: Erasure, first: Promise<number>): Promise<void> {
    const { records, environment, options } = this.#parts;
    let removal: Promise<number> | undefined = first;
    const sessions = await this.#untilDone(receiptId, () => {
      const removing = removal ?? this.#remove(userId);
      removal = undefined;
      return removing;
    });
    await Promise.all([
      this.#untilDone(receiptId, () => this.#wipes.run(() => records.wipeErased(userId))),
      this.#forgetStates(userId, receiptId),
    ]);
    await this.#untilDone(receiptId, async () => {
      const confirmation = { node: options.nodeId, at: environment.clock.now(), sessions: sessions ?? 0 };
      await this.#putOnReceipt(receiptId, confirmationBytes(confirmation));
      environment.logger.info('user_erased', { receipt: receiptId, sessions: confirmation.sessions });
      this.#wake();
    });
  }

  /** Resolves when no engine has KV state of the user's sessions. What keeps it from being so is told on the receipt, once. */
  async #forgetStates(userId: UserId, receiptId: string): Promise<void> {
    const { environment, forgetStates, options } = this.#parts;
    const wait = { clock: environment.clock, waitMs: STATES_WAIT_MS };
    let forgetting: Promise<void> | undefined;
    let isTold = false;
    await this.#untilDone(receiptId, async () => {
      // One that takes long is waited for again, not begun again.
      forgetting ??= forgetStates(userId).catch((error) => {
        forgetting = undefined;
        throw error;
      });
      try {
        await within(wait, forgetting, () => {
          throw new DiscedgeError(
            'llm_timeout',
            `KV state of the user is not known to be gone after ${wait.waitMs} ms`,
          );
        });
      } catch (error) {
        const delay = { node: options.nodeId, at: environment.clock.now(), waitsFor: 'kv_state' } as const;
        if (!isTold && !this.#closing.signal.aborted) await this.#putOnReceipt(receiptId, delayBytes(delay));
        isTold = true;
        throw error;
      }
    });
  }

  #putOnReceipt(receiptId: string, version: Uint8Array): Promise<void> {
    const { documents, options } = this.#parts;
    const lives = { livesMs: Lifetimes.longestMs(options.ttlSecondsMax * 1000) };
    return documents.put('erasure-receipt', receiptId, version, lives);
  }

  /** Tried again, ever more seldom; `undefined` where the node closes before. */
  async #untilDone<T>(receiptId: string, work: () => Promise<T>): Promise<T | undefined> {
    const { clock, logger } = this.#parts.environment;
    const backOff = new BackOff({ firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted) return undefined;
        logger.warn('user_not_erased_yet', { receipt: receiptId }, error);
        await pause(clock, backOff.next(), signal);
      }
    }
    return undefined;
  }

  /** Returns how many sessions and documents of the user have gone, or parts of them. */
  async #remove(userId: UserId): Promise<number> {
    let sessions = 0;
    let after: SessionKey | undefined;
    do {
      const page = await this.#parts.records.erase(userId, after);
      sessions += page.sessions;
      after = page.next;
    } while (after !== undefined && !this.#closing.signal.aborted);
    return sessions;
  }
}

function erasing(): DiscedgeError {
  const message = 'this node has an erasure of this user, or very many, under way: ask again when it has confirmed';
  return new DiscedgeError('overloaded', message, { retryAfterMs: ERASURE_RETRY_MS });
}

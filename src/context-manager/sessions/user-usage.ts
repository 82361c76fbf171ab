import type { KeygroupId, SessionKey, SessionKeyText, UserId } from '../../domain/identifiers.ts';
import { sessionKeyText } from '../../domain/identifiers.ts';
import { LIMITS } from '../../domain/principals/limits.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import { sessionKeyOf } from '../../domain/record/turn-record.ts';
import type { SessionRecords } from './session-records.ts';

/** Sessions of one user that are looked for: more than a limit can name need not be told apart. */
const SESSIONS_COUNTED_MAX = LIMITS.sessions.maximum;
/** Sessions held in mind, of all users: some 20 MB. Beyond, users asked about longest ago are counted anew when asked about again. */
const SESSIONS_HELD_MAX = 100_000;
/** And users, who may have none: a service may name any number of those. */
const USERS_HELD_MAX = 10_000;
const PAGE = 1_000;

/** What one user has in this node's store. */
export class Usage {
  readonly #bytes = new Map<SessionKeyText, number>();
  /** While it is read: sessions that were removed meanwhile, which a page may still name. */
  #removed: Set<SessionKeyText> | undefined = new Set();
  #sum = 0;

  get sessions(): number {
    return this.#bytes.size;
  }

  get bytes(): number {
    return this.#sum;
  }

  has(keyText: SessionKeyText): boolean {
    return this.#bytes.has(keyText);
  }

  add(keyText: SessionKeyText, bytes: number): void {
    this.#set(keyText, (this.#bytes.get(keyText) ?? 0) + bytes);
    this.#removed?.delete(keyText);
  }

  remove(keyText: SessionKeyText): void {
    this.#sum -= this.#bytes.get(keyText) ?? 0;
    this.#bytes.delete(keyText);
    this.#removed?.add(keyText);
  }

  /** What a list says of a session that was there before. */
  found(keyText: SessionKeyText, bytes: number): void {
    if (this.#removed?.has(keyText) !== true) this.#set(keyText, bytes);
  }

  /** It has been read to its end. */
  whole(): void {
    this.#removed = undefined;
  }

  #set(keyText: SessionKeyText, bytes: number): void {
    this.#sum += bytes - (this.#bytes.get(keyText) ?? 0);
    this.#bytes.set(keyText, bytes);
  }
}

/**
 * How many sessions users have in this node's store, and how many bytes of records: listed once, when a user is first asked about,
 * then counted along with each record and removal. Of more than {@link SESSIONS_COUNTED_MAX} sessions the rest is not counted.
 */
export class UserUsage {
  readonly #records: Pick<SessionRecords, 'list' | 'onRecord' | 'onRemoved'>;
  readonly #keygroups: () => Iterable<KeygroupId>;
  /** Those asked about longest ago first. */
  readonly #users = new Map<UserId, { readonly usage: Usage; readonly read: Promise<Usage> }>();
  #listens = false;

  constructor(records: Pick<SessionRecords, 'list' | 'onRecord' | 'onRemoved'>, keygroups: () => Iterable<KeygroupId>) {
    this.#records = records;
    this.#keygroups = keygroups;
  }

  /** Kept up to date from then on, for as long as it is of use to whoever asked. Throws what the store throws. */
  of(userId: UserId): Promise<Usage> {
    this.#listen();
    const known = this.#users.get(userId);
    if (known !== undefined) {
      this.#users.delete(userId);
      this.#users.set(userId, known);
      return known.read;
    }
    const usage = new Usage();
    const read = this.#read(userId, usage);
    this.#users.set(userId, { usage, read });
    read.then(
      () => this.#shrink(),
      () => this.#users.delete(userId),
    );
    return read;
  }

  async #read(userId: UserId, usage: Usage): Promise<Usage> {
    for (const keygroup of this.#keygroups()) {
      let after: SessionKey | undefined;
      do {
        const page = await this.#records.list({ keygroup, userId, after, limit: PAGE });
        for (const { key, bytes } of page.sessions) usage.found(sessionKeyText(key), bytes);
        after = page.next;
      } while (after !== undefined && usage.sessions < SESSIONS_COUNTED_MAX);
    }
    usage.whole();
    return usage;
  }

  /** Costs nothing where nobody asks. */
  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    this.#records.onRecord(({ record, bytes }: SealedRecord) => {
      if (record.kind !== 'turn') return;
      this.#users.get(record.userId)?.usage.add(sessionKeyText(sessionKeyOf(record)), bytes.length);
    });
    this.#records.onRemoved((key) => this.#users.get(key.userId)?.usage.remove(sessionKeyText(key)));
  }

  #shrink(): void {
    let held = 0;
    for (const { usage } of this.#users.values()) held += usage.sessions;
    for (const [userId, { usage }] of this.#users) {
      const isWithin = held <= SESSIONS_HELD_MAX && this.#users.size <= USERS_HELD_MAX;
      if (isWithin || this.#users.size === 1) return;
      this.#users.delete(userId);
      held -= usage.sessions;
    }
  }
}

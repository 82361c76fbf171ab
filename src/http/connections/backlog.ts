/** What may wait for one client: a turn that is stored can be had again, so its connection is given up rather than the node's memory. */
export const UNREAD_BYTES_MAX = 4 * 1024 * 1024;
/** And for all together: as many as that make the greater part of a small node's memory. */
export const UNREAD_BYTES_OF_ALL_MAX = 256 * 1024 * 1024;
/** So much is on its way to clients that read as they can; it is not counted to what waits for all. */
const ON_ITS_WAY_BYTES = 64 * 1024;
/** Who has read nothing for so long of what waits has gone, or might as well have: half of what proxies commonly allow. */
export const UNREAD_MS_MAX = 30_000;

/** Bytes that wait for all clients of a node that are slow. */
export class UnreadBytes {
  total = 0;
}

/** What waits for one client that is sent something piece by piece. */
export class Backlog {
  readonly #all: UnreadBytes;
  #bytes = 0;
  #readAtMs = 0;

  constructor(all: UnreadBytes) {
    this.#all = all;
  }

  /**
   * To be told with each piece how many bytes waited before it, and how many do with it. Whether that is too much: the client is
   * to be cut off.
   */
  isTooMuch(beforeBytes: number, bytes: number, nowMs: number): boolean {
    if (beforeBytes === 0 || beforeBytes < this.#bytes) this.#readAtMs = nowMs;
    this.#hold(bytes);
    if (bytes > UNREAD_BYTES_MAX || nowMs - this.#readAtMs > UNREAD_MS_MAX) return true;
    return this.#all.total > UNREAD_BYTES_OF_ALL_MAX && bytes > ON_ITS_WAY_BYTES;
  }

  /** The connection has ended. */
  end(): void {
    this.#hold(0);
  }

  #hold(bytes: number): void {
    this.#all.total += Math.max(0, bytes - ON_ITS_WAY_BYTES) - Math.max(0, this.#bytes - ON_ITS_WAY_BYTES);
    this.#bytes = bytes;
  }
}

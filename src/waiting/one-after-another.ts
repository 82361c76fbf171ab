/** Does what is to be done with each of many things one after the other; with different ones, side by side. */
export class OneAfterAnother {
  /** The latest for each, while it is under way or waits. */
  readonly #underWay = new Map<string, Promise<unknown>>();

  /** After whatever was asked for before with that key, however it ends. Resolves and rejects as the work does. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#underWay.get(key);
    const running = before === undefined ? work() : before.then(work);
    const ended = running.then(
      () => undefined,
      () => undefined,
    );
    this.#underWay.set(key, ended);
    try {
      return await running;
    } finally {
      if (this.#underWay.get(key) === ended) this.#underWay.delete(key);
    }
  }

  /** Of what is under way or waits. */
  get keys(): Iterable<string> {
    return this.#underWay.keys();
  }

  /** Resolves when nothing that was asked for with that key is under way. */
  async settled(key: string): Promise<void> {
    await this.#underWay.get(key);
  }
}

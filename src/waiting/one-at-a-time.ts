/** Does what it is given one after the other, in the order in which it came; what fails keeps nothing after it from its turn. */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves and rejects as the work does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}

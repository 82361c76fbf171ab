import { DiscedgeError } from '../domain/errors.ts';

/** `store_unavailable` for a write that is neither stored nor refused yet: nobody waits for it any longer, and it may still be stored. */
export class OutcomeUnknown extends DiscedgeError {
  /** Resolves once `read` tells how the write ended; if it was stored, `onRecord` has told of it. Never rejects. */
  readonly known: Promise<void>;

  constructor(message: string, ended: Promise<unknown>) {
    super('store_unavailable', message);
    this.known = ended.then(
      () => {},
      () => {},
    );
  }
}

import type { SessionId } from '../../../../domain/identifiers.ts';
import type { AnswerId } from '../../../../domain/record/answer-id.ts';
import type { ResponseIds, ResponseRef } from '../responses/response-ref.ts';

/**
 * The id of one request's replies while they are made: it says where each of them is kept, so it is known once all of them have
 * their places, which is before any of them is begun.
 */
export class CompletionId {
  readonly #ids: ResponseIds;
  readonly #refs: ResponseRef[];
  readonly #sessions: (SessionId | undefined)[];
  #resolve: () => void = () => {};
  /** Resolves once all have their places, or one has failed. */
  readonly placed: Promise<void>;

  constructor(ids: ResponseIds, refs: readonly ResponseRef[]) {
    this.#ids = ids;
    this.#refs = [...refs];
    this.#sessions = refs.map(() => undefined);
    this.placed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  place(choice: number, sessionId: SessionId): void {
    this.#sessions[choice] = sessionId;
    this.#refs[choice] = { ...(this.#refs[choice] as ResponseRef), sessionId };
    if (this.#sessions.every((session) => session !== undefined)) this.#resolve();
  }

  sessionOf(choice: number): SessionId {
    return (this.#refs[choice] as ResponseRef).sessionId;
  }

  fail(): void {
    this.#resolve();
  }

  /** It was answered before, under this id. */
  answeredAs(choice: number, answerId: AnswerId): void {
    this.#refs[choice] = { ...(this.#refs[choice] as ResponseRef), answerId };
  }

  get text(): string {
    return this.#ids.completion(this.#refs as [ResponseRef, ...ResponseRef[]]);
  }
}

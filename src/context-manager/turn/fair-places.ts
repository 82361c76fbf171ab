import type { UserId } from '../../domain/identifiers.ts';
import { type Share, ShareCounts } from './share.ts';

interface Waiting {
  readonly share: Share;
  readonly serve: () => void;
}

type OfUsers = Map<UserId | undefined, Set<Waiting>>;

/**
 * Places at one LLM Service, fairly shared. One that comes free goes to the principal with the fewest places of those who wait, among
 * equals to the one that had none for longest; within the principal likewise to a user, and of a user's turns to the one that came
 * first. So nobody has more than an equal part of the places while another waits, however many turns they send and however long these
 * take, and nobody is served twice while another waits without any. None is free while anyone waits.
 */
export class FairPlaces {
  /** None while anyone waits. */
  #free: number;
  readonly #taken = new ShareCounts();
  /** Of principals and users with turns that wait, those without a place for longest first. Bounded by the turns that a node lets in. */
  readonly #waiting = new Map<string, OfUsers>();

  /** `count`: how many there are; infinite where the LLM Service works on as many turns as it is given. */
  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Takes a place for this one, which is its own as an object until {@link leave}. `undefined`: it has one; else it has when the promise
   * resolves. That rejects with the reason of `signal` when it aborts before, and then there is nothing to leave.
   */
  enter(share: Share, signal: AbortSignal): Promise<void> | undefined {
    if (this.#free > 0) {
      this.#free--;
      this.#taken.add(share);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const giveUp = () => {
        this.#remove(waiting);
        reject(signal.reason);
      };
      const serve = () => {
        signal.removeEventListener('abort', giveUp);
        this.#taken.add(share);
        resolve();
      };
      const waiting: Waiting = { share, serve };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#add(waiting);
    });
  }

  /** Its place is free, and the next one's at once. */
  leave(share: Share): void {
    this.#taken.remove(share);
    if (this.#waiting.size === 0) {
      this.#free++;
      return;
    }
    this.#goesBehind(share);
    const next = this.#next();
    this.#remove(next);
    this.#goesBehind(next.share);
    next.serve();
  }

  #next(): Waiting {
    const taken = this.#taken;
    const principal = fewest(this.#waiting.keys(), (name) => taken.ofPrincipal({ principal: name }));
    const users = this.#waiting.get(principal) as OfUsers;
    const userId = fewest(users.keys(), (user) => taken.ofUser({ principal, userId: user }));
    const [first] = users.get(userId) as Set<Waiting>;
    return first as Waiting;
  }

  #add(waiting: Waiting): void {
    const { principal, userId } = waiting.share;
    const users: OfUsers = this.#waiting.get(principal) ?? new Map();
    const turns: Set<Waiting> = users.get(userId) ?? new Set();
    this.#waiting.set(principal, users.set(userId, turns.add(waiting)));
  }

  #remove(waiting: Waiting): void {
    const { principal, userId } = waiting.share;
    const users = this.#waiting.get(principal);
    const turns = users?.get(userId);
    turns?.delete(waiting);
    if (turns?.size === 0) users?.delete(userId);
    if (users?.size === 0) this.#waiting.delete(principal);
  }

  /** Has a place, or had one until now. */
  #goesBehind({ principal, userId }: Share): void {
    const users = this.#waiting.get(principal);
    if (users === undefined) return;
    moveToEnd(users, userId);
    moveToEnd(this.#waiting, principal);
  }
}

/** Of equals the first. */
function fewest<T>(all: Iterable<T>, of: (one: T) => number): T {
  let found: { readonly one: T; readonly count: number } | undefined;
  for (const one of all) {
    const count = of(one);
    if (found === undefined || count < found.count) found = { one, count };
  }
  if (found === undefined) throw new TypeError('nobody waits');
  return found.one;
}

function moveToEnd<K, V>(map: Map<K, V>, key: K): void {
  const value = map.get(key);
  if (value === undefined) return;
  map.delete(key);
  map.set(key, value);
}

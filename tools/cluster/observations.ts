import { DiscedgeClientError } from '../../src/client/client.ts';
import type { Deletion, History, Operation, Repetition, Violation, Wipe } from './history.ts';

/** One request to a node, as the client's network saw it. */
export interface Attempt {
  readonly node: string;
  readonly path: string;
  readonly beganMs: number;
  /** HTTP status; `undefined` when no answer came. */
  readonly status: number | undefined;
  /** DisCEdge's code of an answer that was an error, or the name of the error where there was no answer. */
  readonly code: string | undefined;
}

/** Nothing that happens around a node is an excuse for these. */
const DEFECTS: ReadonlySet<string> = new Set([
  'internal_error',
  'context_corrupt',
  'invalid_request',
  'mode_mismatch',
  'reply_malformed',
  'reply_changed',
  'session_deleted',
  'SyntaxError',
]);

/** What the clients of a run have seen, in the order in which they saw it. */
export class Observations {
  readonly #events: Array<Operation | Repetition | Deletion | Wipe> = [];
  readonly #failures = new Map<string, number>();
  readonly #defects: Violation[] = [];
  readonly #underWay = new Map<string, number>();
  readonly #listeners = new Set<(attempt: Attempt) => void>();
  acknowledged = 0;
  repeated = 0;
  /** Disks lost without warning. */
  wipes = 0;
  /** Sessions given up because every message was in conflict with one that had been abandoned. */
  stuck = 0;

  get history(): History {
    return this.#events;
  }

  /** How often each error code was met. */
  get failures(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#failures].sort(([, a], [, b]) => b - a));
  }

  /** Answers that no fault explains. */
  get defects(): readonly Violation[] {
    return this.#defects;
  }

  operation(operation: Operation): void {
    this.#events.push(operation);
    if (operation.reply !== undefined) this.acknowledged++;
  }

  repetition(repetition: Repetition): void {
    this.#events.push(repetition);
    this.repeated++;
  }

  deletion(deletion: Deletion): void {
    this.#events.push(deletion);
  }

  wiped(node: string): void {
    this.wipes++;
    this.#events.push({ kind: 'wipe', node, atMs: performance.now() });
  }

  failed(error: unknown): void {
    const code = codeOf(error);
    this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
    if (DEFECTS.has(code)) this.#defects.push({ rule: 'defect', what: `${code}: ${(error as Error).message}` });
  }

  /** A request has been sent; what is returned is to be called with what came of it. */
  began({ node, path }: Pick<Attempt, 'node' | 'path'>): (outcome: Pick<Attempt, 'status' | 'code'>) => void {
    const beganMs = performance.now();
    this.#underWay.set(node, this.underWay(node) + 1);
    return (outcome) => {
      this.#underWay.set(node, this.underWay(node) - 1);
      for (const listener of this.#listeners) listener({ node, path, beganMs, ...outcome });
    };
  }

  /** Requests that a node has not answered yet. */
  underWay(node: string): number {
    return this.#underWay.get(node) ?? 0;
  }

  /** Hears of every request that ends; the function returned ends that. */
  watch(listener: (attempt: Attempt) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** As the run counts it. */
export function codeOf(error: unknown): string {
  return error instanceof DiscedgeClientError ? error.code : error instanceof Error ? error.name : String(error);
}

import { DiscedgeClientError } from '../errors.ts';

/**
 * A node's own words for a request that it does not store, however often it gets it. Everything else leaves in doubt
 * what became of the turn: a broken connection, a proxy's answer, and 429, 503 and 504, behind which an earlier attempt
 * may still run or the record may have been stored already.
 */
const REFUSALS: ReadonlySet<string> = new Set([
  'invalid_request',
  'unsupported_parameter',
  'mode_mismatch',
  'mode_unavailable',
  'context_overflow',
  'model_not_found',
  'route_not_found',
  'method_not_allowed',
  'headers_too_large',
  'session_not_found',
  'session_deleted',
  'turn_conflict',
  'payload_too_large',
  'unsupported_media_type',
]);

/** As it is kept in a string: attempts by node. */
export interface SavedTurn {
  readonly body: Readonly<Record<string, unknown>>;
  readonly nodes: readonly (readonly [url: string, attempts: number])[];
}

/** A turn that was sent and not answered, and at which nodes it may be stored, or still run. */
export class UnsettledTurn {
  readonly body: Readonly<Record<string, unknown>>;
  readonly #attempts = new Map<string, number>();

  constructor(body: Readonly<Record<string, unknown>>) {
    this.body = body;
  }

  static restored({ body, nodes }: SavedTurn): UnsettledTurn {
    const turn = new UnsettledTurn(body);
    for (const [url, attempts] of nodes) turn.#attempts.set(url, attempts);
    return turn;
  }

  get saved(): SavedTurn {
    return { body: this.body, nodes: [...this.#attempts] };
  }

  /** The nodes of which it is not known. */
  get nodes(): readonly string[] {
    return [...this.#attempts.keys()];
  }

  sentTo(node: string): void {
    this.#attempts.set(node, (this.#attempts.get(node) ?? 0) + 1);
  }

  /** What one node says holds for that node only. */
  failedAt(node: string, error: unknown): void {
    if (!(error instanceof DiscedgeClientError)) return;
    if (REFUSALS.has(error.code)) this.absentAt(node);
    else if (error.code === 'turn_cancelled') this.cancelledAt(node);
  }

  /** Of several attempts at one node, the first may have been stored while the others were cancelled. */
  cancelledAt(node: string): void {
    if (this.#attempts.get(node) === 1) this.absentAt(node);
  }

  /** The node neither holds nor runs it. */
  absentAt(node: string): void {
    this.#attempts.delete(node);
  }
}

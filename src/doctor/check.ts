/** The standard one, or one that trusts whom a node's certificate is of. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** One thing an edge node needs or could use, and whether this machine has it. */
export interface Check {
  readonly name: string;
  /** `missing`: an edge node cannot start, or cannot do what it is configured to. */
  readonly outcome: 'ok' | 'warn' | 'missing';
  /** What was found. */
  readonly found: string;
  /** How to get it, where something is to be done. */
  readonly fix?: string;
}

/** A reader of bytes that come from elsewhere, and what must hold of it whatever they are. */
export interface FuzzTarget {
  /** What it reads by itself: where changes begin, beside the corpus. */
  readonly seeds: readonly (string | Uint8Array)[];
  /** Texts that mean something to it, which chance would hardly write. */
  readonly words?: readonly string[];
  /** Whether inputs are JSON, and are changed as such as well. */
  readonly isJson?: boolean;
  /** 4,096 where it does not say. */
  readonly inputBytesMax?: number;
  /** CPU time that one input may take, 1,000 ms where it does not say: far above what any takes, far below what hurts. */
  readonly cpuMsMax?: number;
  /** Memory that one input may take meanwhile, 64 MiB where it does not say. */
  readonly memoryBytesMax?: number;
  /** It keeps what it is given, as a node keeps sessions: growing is no fault. */
  readonly keeps?: true;
  /** Throws, or rejects, where a promise is broken; what its reader may throw it catches. */
  check(input: Buffer): void | Promise<void>;
  close?(): Promise<void>;
}

/** What each file of `targets/` exports. */
export type OpenTarget = () => FuzzTarget | Promise<FuzzTarget>;

export const INPUT_BYTES_MAX = 4_096;
export const CPU_MS_MAX = 1_000;
export const MEMORY_BYTES_MAX = 64 * 1024 * 1024;

/** Runs what reads; `undefined` where it refuses as it may. Everything else that it throws is a fault. */
export function refusedOr<T>(
  read: () => T,
  ...refusals: readonly (abstract new (
    ...args: never[]
  ) => Error)[]
): T | undefined {
  try {
    return read();
  } catch (error) {
    if (refusals.some((refusal) => error instanceof refusal)) return undefined;
    throw error;
  }
}

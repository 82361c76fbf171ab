import type { TokenSequence } from '../../../domain/token-sequence.ts';
import type { ValuedState } from '../../state-value.ts';
import type { WarmSpan } from '../../warming/warm-account.ts';
import type { WrittenState } from './state-form.ts';

/** A state in a file of its own, and what is known of its worth. */
export interface KeptState extends ValuedState {
  readonly affinity: string;
  readonly ids: TokenSequence;
  readonly fileBytes: number;
  readonly stateBytes: number;
  readonly checksum: number;
  /** False of what an earlier process left, until it has been read. */
  readonly isProven: boolean;
  /** What of it is warm, while no sequence holds it. */
  readonly warm?: WarmSpan | undefined;
  /** All of it was evaluated ahead of need, and no turn of its session has come to it yet. */
  readonly isAhead?: boolean | undefined;
}

export type UnwrittenState = Omit<KeptState, 'tokens' | 'fileBytes' | 'isProven' | keyof WrittenState>;

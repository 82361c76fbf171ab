import type { StopReason } from '../domain/record/turn-record.ts';

/** llama.cpp's words for how a reply ended. */
export const STOP_TYPES = { end: 'eos', limit: 'limit', word: 'word' } as const satisfies Record<
  StopReason['kind'],
  string
>;

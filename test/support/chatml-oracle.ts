import type { TokenId, TokenSequence } from '../../src/domain/token-sequence.ts';
import { IM_END, IM_START } from './probed-llm.ts';

/** The ids that the scripted model must read for a conversation, written down from the ChatML rules alone. */
export interface ToldTurn {
  readonly text: string;
  /** Exact ids of the reply; `undefined` for the turn that is about to be answered. */
  readonly reply: TokenSequence | undefined;
}

export function chatmlIds(system: string | undefined, turns: readonly ToldTurn[]): TokenId[] {
  const ids: TokenId[] = [];
  if (system !== undefined) ids.push(IM_START, ...bytes(`system\n${system}`), IM_END, ...bytes('\n'));
  for (const { text, reply } of turns) {
    ids.push(IM_START, ...bytes(`user\n${text}`), IM_END, ...bytes('\n'), IM_START, ...bytes('assistant\n'));
    if (reply === undefined) continue;
    ids.push(...reply);
    if (reply.at(-1) !== IM_END) ids.push(IM_END);
    ids.push(...bytes('\n'));
  }
  return ids;
}

export function bytes(text: string): TokenId[] {
  return [...Buffer.from(text)] as TokenId[];
}

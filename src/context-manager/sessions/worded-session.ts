import { DiscedgeError } from '../../domain/errors.ts';
import { answerIdOf } from '../../domain/record/answer-id.ts';
import type { Preamble } from '../../domain/record/preamble.ts';
import { beginningOf } from '../../domain/record/summary.ts';
import type { Message } from '../../domain/record/turn-record.ts';
import { isAnswered, type Turn } from '../../domain/session/session-history.ts';
import { answerOf } from '../modes/read-turn.ts';
import type { SessionView } from './sessions.ts';

/** A turn in words, as another model can be told it. */
export interface WordedTurn {
  readonly source: Turn;
  /** With what was added before it, and the turns before it whose replies called tools. */
  readonly messages: readonly Message[];
  readonly preamble: Preamble | undefined;
  readonly reply: string;
}

/** What a session has that words do not carry to another model. */
export const NOT_CARRIED = [
  'exact_ids',
  'kv_state',
  'reasoning',
  'summaries',
  'branches',
  'response_ids',
  'stop_reasons',
] as const;
export type NotCarried = (typeof NOT_CARRIED)[number];

/** A session in words. */
export interface WordedSession {
  readonly turns: readonly WordedTurn[];
  /** What waits for an answer: messages that were added, and calls without a reply after their results. */
  readonly open: readonly Message[];
  readonly notCarried: readonly NotCarried[];
}

/**
 * The main line as texts, calls and results. A reply that calls tools becomes a message of the turn after it: there another model's
 * template writes the calls in its own syntax. Throws the failure of an LLM Service that cannot put stored ids into words.
 */
export function wordedSession({ mode, turns: read, tips, summaries }: SessionView): WordedSession {
  const turns: WordedTurn[] = [];
  const left = new Set<NotCarried>(['kv_state']);
  if (mode === 'tokenized') left.add('exact_ids');
  if (tips.length > 1) left.add('branches');
  if (summaries.length > 0) left.add('summaries');
  let open: Message[] = [];
  let preamble: Preamble | undefined;
  const last = read.findLastIndex(({ turn }) => isAnswered(turn));
  for (const [index, { turn, text }] of read.entries()) {
    if (text instanceof DiscedgeError) throw text;
    const { record } = turn;
    if (answerIdOf(record) !== undefined) left.add('response_ids');
    if (beginningOf(record) !== undefined) left.add('summaries');
    if (!isAnswered(turn)) {
      // What came before an answer is in the turn that read it.
      if (index > last) open = [...open, ...text.messages];
      continue;
    }
    if (record.stop.kind !== 'end') left.add('stop_reasons');
    if (text.parts.some(({ type }) => type === 'thinking')) left.add('reasoning');
    preamble = text.preamble ?? preamble;
    const messages = [...open, ...text.messages];
    const said = text.parts.filter(({ type }) => type !== 'thinking');
    const calls = said.some(({ type }) => type === 'tool-call');
    open = calls ? [...messages, { role: 'assistant', content: said }] : [];
    if (calls) continue;
    turns.push({ source: turn, messages, preamble, reply: answerOf(text) });
    preamble = undefined;
  }
  return { turns, open, notCarried: NOT_CARRIED.filter((what) => left.has(what)) };
}

import type { TurnOutline } from './conversation-form.ts';

/**
 * How far back a template is looked at to see how earlier turns stand now: `exchanges`, the last two user messages and all that
 * was said since, where probing showed that nothing before them can change; else the `whole` conversation.
 */
export type WindowRule = 'exchanges' | 'whole';

const EXCHANGES = 2;

/** The first of `turns` that has to be looked at again when a turn follows them. */
export function windowStart(turns: readonly Pick<TurnOutline, 'messages'>[], rule: WindowRule): number {
  if (rule === 'whole') return 0;
  let exchanges = 0;
  for (let index = turns.length - 1; index > 0; index--) {
    if (!asks(turns[index] as TurnOutline)) continue;
    exchanges++;
    if (exchanges === EXCHANGES) return index;
  }
  return 0;
}

/** How many user messages back a turn is: 1 for one of the newest exchange. */
export function exchangesBack(turns: readonly Pick<TurnOutline, 'messages'>[], index: number): number {
  const following = turns.slice(index + 1).filter(asks).length;
  return following + 1;
}

function asks({ messages }: Pick<TurnOutline, 'messages'>): boolean {
  return messages.some(({ role }) => role === 'user');
}

import type { TurnOutline } from './conversation-form.ts';

/**
 * How far back a template is looked at to see how earlier turns stand now: `exchanges`, the last two user messages and all that
 * was said since, where probing showed that nothing before them can change; else the `whole` conversation.
 */
export type WindowRule = 'exchanges' | 'whole';

const EXCHANGES = 2;

/** The first of `turns` that has to be looked at again when a turn follows them. */
export function windowStart(turns: readonly Pick<TurnOutline, 'roles'>[], rule: WindowRule): number {
  if (rule === 'whole') return 0;
  let exchanges = 0;
  for (let index = turns.length - 1; index > 0; index--) {
    if (!(turns[index] as TurnOutline).roles.includes('user')) continue;
    exchanges++;
    if (exchanges === EXCHANGES) return index;
  }
  return 0;
}

/** How many user messages back a turn is: 1 for one of the newest exchange. */
export function exchangesBack(turns: readonly Pick<TurnOutline, 'roles'>[], index: number): number {
  const following = turns.slice(index + 1).filter(({ roles }) => roles.includes('user')).length;
  return following + 1;
}

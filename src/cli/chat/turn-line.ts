import type { Reply } from '../../client/client.ts';

export interface TurnTimes {
  /** From sending the message to the first text of its reply; `undefined` when there was none. */
  readonly firstTextMs: number | undefined;
  readonly totalMs: number;
  /** Id of the node that answered the turn before; `undefined` where that is not known. */
  readonly nodeBefore?: string | undefined;
}

/**
 * One line about a turn: its number; tokens found in the KV cache, evaluated and written; whether its context was warm, and whether
 * it has moved; time to the first text and
 * in all; speed; node.
 */
export function turnLine(reply: Reply, { firstTextMs, totalMs, nodeBefore }: TurnTimes): string {
  const { cachedTokens, evaluatedTokens, predictedTokens, predictedMs } = reply.usage;
  const tokens = reply.replayed
    ? 'answered from the record'
    : `${cachedTokens} cached, ${evaluatedTokens} evaluated, ${predictedTokens} new`;
  const first = firstTextMs === undefined ? '' : `first ${duration(firstTextMs)}, `;
  return [
    `turn ${reply.turn}`,
    tokens,
    ...stateOf(reply, nodeBefore),
    `${first}all ${duration(totalMs)}`,
    ...(predictedMs > 0 && !reply.replayed ? [`${perSecond(predictedTokens, predictedMs)} tok/s`] : []),
    ...(reply.turn > 1 && reply.waitedMs >= 1 ? [`waited ${duration(reply.waitedMs)} for the turn before`] : []),
    ...(reply.stopType === 'limit' ? ['cut at its longest length'] : []),
    reply.node,
    ...(reply.replicas > 1 ? [`on ${reply.replicas} nodes`] : []),
  ].join(' · ');
}

/** In words, what the turn found of its context where it was answered. */
function stateOf({ turn, replayed, node, usage }: Reply, nodeBefore: string | undefined): string[] {
  if (turn === 1 || replayed) return [];
  const state = usage.warmedTokens > 0 || usage.cachedTokens > usage.evaluatedTokens ? 'warm' : 'cold';
  return [nodeBefore === undefined || nodeBefore === node ? state : `moved, ${state}`];
}

/** What the user has to know about a reply that does not stand on the whole conversation; `undefined` when it does. */
export function turnWarning(reply: Reply): string | undefined {
  if (reply.basedOnTurn < reply.turn - 1) {
    return `This reply knows the conversation up to turn ${reply.basedOnTurn} only.`;
  }
  if (reply.droppedTurns > 0) {
    return `The conversation has become too long: its first ${reply.droppedTurns} turns were left out.`;
  }
  if (reply.summarizedTurns > 0) {
    return `The conversation has become too long: the model read a summary of its first ${reply.summarizedTurns} turns.`;
  }
  return undefined;
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function perSecond(count: number, ms: number): string {
  const rate = (count * 1000) / ms;
  return rate < 10 ? rate.toFixed(1) : String(Math.round(rate));
}

import { repairedExtension } from '../../domain/record/repaired.ts';
import type { Message } from '../../domain/record/turn-record.ts';
import type { RememberedTurn } from '../../domain/session/turn-repair.ts';
import { digestOf } from './request-digest.ts';
import { type ToldTurnParts, writeToldTurn } from './told-turn.ts';
import type { TurnRequest } from './turn.ts';
import type { OpenPass } from './turn-gate.ts';

/**
 * Puts the turns that a client hands over in the place of lost ones: records as any other, durable and replicated, that say
 * so of themselves. Written one by one: a repair that was broken off goes on from what there is. Returns the pass as if
 * nothing had been lost. Throws what a mode's `build` and the store throw.
 */
export async function repairTurns<Pass extends OpenPass>(
  request: TurnRequest,
  pass: Pass,
  parts: ToldTurnParts,
): Promise<Pass> {
  let repaired = pass;
  for (const told of pass.lost ?? []) {
    const { preamble, form, extensions, conversation, ...plain } = request;
    const asTold: TurnRequest = { ...plain, messages: messagesOf(told), sampling: {}, stop: [], maxTokens: undefined };
    const from = repairedExtension(told.contextId);
    // No request is answered by it: what the turn was asked with is not known any more.
    const turn = { request: asTold, reply: told.reply, digest: digestOf(`repair of ${told.contextId}`), from };
    repaired = await writeToldTurn(turn, repaired, parts);
    parts.node.metrics.turnRepaired(parts.llm.description.identity.name);
  }
  return repaired;
}

function messagesOf({ system, prompt }: RememberedTurn): Message[] {
  const user: Message = { role: 'user', content: prompt };
  return system === undefined ? [user] : [{ role: 'system', content: system }, user];
}

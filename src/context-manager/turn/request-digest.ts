import { hash } from 'node:crypto';
import type { RequestDigest, TurnNumber } from '../../domain/identifiers.ts';
import type { TurnPlace } from '../../domain/session/turn-decision.ts';
import { addedMessages, type TurnRequest } from './turn.ts';
import type { GateRequest } from './turn-gate.ts';

/**
 * Names everything in a request that decides its reply, so that a repeated request is recognised wherever the record
 * has arrived. Hashed is what the request says, never what a node makes of it (its default or greatest reply length, its
 * LLM Service's sampling), so that all nodes agree.
 *
 * Left out is what only says how to answer (streaming, waiting, consistency, expiry, overflow, layers, reasoning of earlier replies): a
 * retry may change it.
 * So may it name the mode, or not: a session has one, and {@link decideTurn} compares it. Stop words keep their order,
 * since of two that end at one place the first is reported; a sampling parameter that is spelled out is not the same as
 * one left to the LLM Service, whose default need not be another's.
 */
export function requestDigest(request: TurnRequest, turn: TurnNumber | undefined): RequestDigest {
  const { preamble, form } = request;
  const decisive = [
    turn ?? atTip(request.place),
    // Here stood the mode that was named; most requests named none, and are still found by what was stored for them.
    null,
    addedMessages(request).map(({ role, content }) => [role, sorted(content)]),
    request.maxTokens ?? null,
    request.stop,
    sorted(request.sampling),
    // Requests that say nothing of these are still found by what was stored for them before there were such.
    ...(preamble === undefined && form === undefined ? [] : [sorted(preamble ?? null), sorted(form ?? null)]),
    ...(request.choice ? [request.choice] : []),
  ];
  return digestOf(JSON.stringify(decisive));
}

/** Of what stands in the place of a request. */
export function digestOf(text: string): RequestDigest {
  return hash('sha256', text).slice(0, 16) as RequestDigest;
}

/** A request as the turn gate sees it. */
export function claimOf(request: TurnRequest): GateRequest {
  const { place, mode, consistency, maxWaitMs, repair } = request;
  return { place, mode, consistency, maxWaitMs, repair, digestAs: (turn) => requestDigest(request, turn) };
}

/** What stands for the number of a turn that has none yet. */
export function atTip(place: TurnPlace): unknown {
  const repeat = 'tip' in place ? place.tip : 'repeat' in place ? place.repeat : 'new';
  return typeof repeat === 'object' ? ['tip', repeat.key] : 'tip';
}

/** JSON objects are compared without regard to the order of their keys. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

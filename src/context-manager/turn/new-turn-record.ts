import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import type { Lifetimes } from '../../domain/lifetimes.ts';
import type { TurnRecord } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import type { GenerationEnd } from '../../llm-service/llm-service.ts';
import type { Prompt } from '../modes/mode.ts';
import type { NodeOptions } from '../node-options.ts';
import type { TurnRequest } from './turn.ts';
import type { OpenPass } from './turn-gate.ts';

/** The record of a turn that has just been answered. Throws `session_not_found` when its session has expired meanwhile. */
export function newTurnRecord(
  request: TurnRequest,
  { session, base, digest }: OpenPass,
  answer: {
    readonly prompt: Prompt;
    readonly end: GenerationEnd;
    readonly payload: TurnRecord['payload'];
    readonly writtenAtMs: number;
    readonly lifetimes: Lifetimes;
  },
  options: NodeOptions,
): TurnRecord {
  const { prompt, end, payload, writtenAtMs, lifetimes } = answer;
  const { expiresAtMs } = session.history;
  if (base !== undefined && lifetimes.isOver(expiresAtMs, writtenAtMs)) {
    throw new DiscedgeError('session_not_found', 'the session expired while this turn was being answered', {
      param: 'session_id',
    });
  }
  return {
    kind: 'turn',
    ...session.key,
    origin: options.nodeId,
    incarnation: options.incarnation,
    writtenAtMs,
    expiresAtMs: writtenAtMs + ttlMs(request, base, options),
    turn: ((base?.record.turn ?? 0) + 1) as TurnNumber,
    parent: base?.hash,
    requestDigest: digest,
    contextStart: prompt.contextStart,
    stop: end.stop,
    sampling: {
      temperature: numberOr(request.sampling.temperature),
      seed: numberOr(request.sampling.seed),
      maxTokens: request.maxTokens === 'most' ? options.replyTokensMax : request.maxTokens,
    },
    payload,
  };
}

/** A session keeps the time to live it was given last. */
function ttlMs({ ttlSeconds }: TurnRequest, base: Turn | undefined, options: NodeOptions): number {
  if (ttlSeconds !== undefined) return Math.min(ttlSeconds, options.ttlSecondsMax) * 1000;
  return base === undefined ? options.ttlSeconds * 1000 : base.record.expiresAtMs - base.record.writtenAtMs;
}

function numberOr(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

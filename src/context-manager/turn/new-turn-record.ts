import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import { conversationExtension, digestAfter } from '../../domain/record/conversation-digest.ts';
import { type Extensions, joinedExtensions } from '../../domain/record/extensions.ts';
import { layersLeftOutExtension } from '../../domain/record/layers-left-out.ts';
import type { ContentPart } from '../../domain/record/message-content.ts';
import { nextNodesExtension } from '../../domain/record/next-nodes.ts';
import { RECORD_BYTES_MAX, sealedLength } from '../../domain/record/record-codec.ts';
import type { StopReason, TurnRecord } from '../../domain/record/turn-record.ts';
import { WINDOW_END_EXTENSION } from '../../domain/record/window-end.ts';
import type { Kept, Prompt } from '../modes/mode.ts';
import type { NodeOptions } from '../node-options.ts';
import { keptTtlMs, livesUntilMs, ttlMs } from '../sessions/session-life.ts';
import type { ReplyCost, TurnRequest } from './turn.ts';
import type { OpenPass } from './turn-gate.ts';

/** The record of a turn that has just been answered. Throws `session_not_found` when its session has expired meanwhile. */
export function newTurnRecord(
  request: TurnRequest,
  { session, base, digest }: OpenPass,
  answer: {
    readonly prompt: Prompt;
    readonly stop: StopReason;
    /** Whether it was the context window that ended the reply. */
    readonly windowIsFull: boolean;
    readonly kept: Kept;
    /** Of the reply. */
    readonly parts: readonly ContentPart[];
    readonly writtenAtMs: number;
    /** Of the user, where that has one of its own. */
    readonly userTtlMs: number | undefined;
    readonly isOver: (expiresAtMs: number) => boolean;
    readonly marks: Pick<TurnRecord, 'extensions'>;
    readonly cost: ReplyCost;
  },
  options: NodeOptions,
): TurnRecord {
  const { prompt, stop, windowIsFull, kept, writtenAtMs, userTtlMs, isOver, marks, cost } = answer;
  const { expiresAtMs } = session.history;
  if (base !== undefined && isOver(expiresAtMs)) {
    throw new DiscedgeError('session_not_found', 'the session expired while this turn was being answered', {
      param: 'session_id',
    });
  }
  const { keygroup, userId, sessionId } = session.key;
  const asked = typeof request.extensions === 'function' ? request.extensions(cost) : request.extensions;
  const extensions = joinedExtensions(
    asked,
    foundBy(request, answer.parts),
    nextNodesExtension(request.nextNodes ?? []),
    layersLeftOutExtension(request.withoutLayers ?? []),
    windowIsFull ? WINDOW_END_EXTENSION : undefined,
    kept.extensions,
    marks.extensions,
  );
  return {
    kind: 'turn',
    keygroup,
    userId,
    sessionId,
    origin: options.nodeId,
    incarnation: options.incarnation,
    writtenAtMs,
    expiresAtMs: livesUntilMs(
      session.history,
      { writtenAtMs, ttlMs: ttlMs(request, userTtlMs ?? keptTtlMs(base, options)) },
      options,
    ),
    turn: ((base?.record.turn ?? 0) + 1) as TurnNumber,
    parent: base?.hash,
    requestDigest: digest,
    contextStart: prompt.contextStart,
    stop,
    sampling: {
      temperature: numberOr(request.sampling.temperature),
      seed: numberOr(request.sampling.seed),
      maxTokens: request.maxTokens === 'most' ? options.replyTokensMax : request.maxTokens,
    },
    payload: kept.payload,
    ...(kept.preamble && { preamble: kept.preamble }),
    ...(extensions && { extensions }),
  };
}

/** A client has the reply with what the model thought, or without. */
function foundBy({ conversation: asked }: TurnRequest, parts: readonly ContentPart[]): Extensions | undefined {
  if (asked === undefined) return undefined;
  const answers = [parts.filter(({ type }) => type !== 'thinking'), parts];
  const answered = answers.map((content) => digestAfter(asked, { role: 'assistant', content }));
  return conversationExtension({ asked, answered: [...new Set(answered)] });
}

/**
 * Bytes that a token of a reply takes in a record: its id at most five, the rest for its text, where that is kept as well.
 * Ordinary text has four to a token.
 */
const REPLY_TOKEN_BYTES = 64;

/**
 * The longest reply, in tokens, that there is room for in the record of a turn. Throws `invalid_request` for a turn that no
 * record holds, whatever the reply: the LLM would be asked in vain, and again whenever the turn is sent again.
 */
export function replyTokensHeld(draft: TurnRecord): number {
  const tokens = Math.floor((RECORD_BYTES_MAX - lengthOf(draft)) / REPLY_TOKEN_BYTES);
  if (tokens < 1)
    throw unholdable(`its prompt leaves no room for a reply in the ${RECORD_BYTES_MAX} bytes of a record`);
  return tokens;
}

function lengthOf(draft: TurnRecord): number {
  try {
    return sealedLength(draft);
  } catch (error) {
    if (error instanceof RangeError) throw unholdable(error.message);
    throw error;
  }
}

function unholdable(why: string): DiscedgeError {
  return new DiscedgeError('invalid_request', `this turn cannot be stored: ${why}`);
}

function numberOr(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

import { MalformedBytes } from '../../../domain/bytes.ts';
import type { Frame } from '../../../domain/record/record-fields.ts';
import type { SamplingSummary, StopReason, TokenizedPayload, TurnRecord } from '../../../domain/record/turn-record.ts';
import type { TokenSequence } from '../../../domain/token-sequence.ts';

/** What a turn is compared with, so that only differences are sent: its parent, or the most common values. */
export interface ExpectedTurn {
  readonly writtenAtMs: number;
  readonly lifetimeMs: number;
  readonly stop: StopReason;
  readonly sampling: SamplingSummary;
  readonly contextStart: number;
  readonly payload: TurnRecord['payload'] | undefined;
}

/** For a turn without a parent to compare with. A day is the default life of a session. */
export const NO_TURN: ExpectedTurn = {
  writtenAtMs: 0,
  lifetimeMs: 86_400_000,
  stop: { kind: 'end' },
  sampling: { temperature: undefined, seed: undefined, maxTokens: undefined },
  contextStart: 1,
  payload: undefined,
};

/** One bit for each field that can be as expected; `clock`: the turn was written no earlier than its parent. */
export const SAME = {
  clock: 1,
  lifetime: 2,
  stop: 4,
  sampling: 8,
  contextStart: 16,
  frame: 32,
  replyLength: 64,
} as const;

/** The bits of the fields that are as expected, and so need not be sent. */
export function samenessOf(turn: TurnRecord, expected: ExpectedTurn): number {
  const { payload, stop, sampling } = turn;
  const isStop = stop.kind === expected.stop.kind && (stop.kind !== 'word' || stop.word === wordOf(expected.stop));
  const isSampling =
    Object.is(sampling.temperature, expected.sampling.temperature) &&
    Object.is(sampling.seed, expected.sampling.seed) &&
    sampling.maxTokens === expected.sampling.maxTokens;
  let sameness = 0;
  if (turn.writtenAtMs >= expected.writtenAtMs) sameness |= SAME.clock;
  if (turn.expiresAtMs - turn.writtenAtMs === expected.lifetimeMs) sameness |= SAME.lifetime;
  if (isStop) sameness |= SAME.stop;
  if (isSampling) sameness |= SAME.sampling;
  if (turn.contextStart === expected.contextStart) sameness |= SAME.contextStart;
  if (payload.mode === 'tokenized') {
    if (isFrameAfter(expected.payload, payload)) sameness |= SAME.frame;
    if (payload.replyIds.length === sampling.maxTokens) sameness |= SAME.replyLength;
  }
  return sameness;
}

function wordOf(stop: StopReason): string | undefined {
  return stop.kind === 'word' ? stop.word : undefined;
}

export function expectedAfter(parent: TurnRecord): ExpectedTurn {
  return { ...parent, lifetimeMs: parent.expiresAtMs - parent.writtenAtMs };
}

/** The one message of a prompt with as much template around it as the parent's has. */
export function frameAfter(before: ExpectedTurn['payload'], promptLength: number): Frame {
  const span = before?.mode === 'tokenized' && before.spans.length === 1 ? before.spans[0] : undefined;
  if (before?.mode !== 'tokenized' || span === undefined) throw new MalformedBytes('no frame to go by');
  const length = promptLength - (before.promptIds.length - span.length);
  if (length < 0) throw new MalformedBytes('a prompt shorter than its template');
  return { leadLength: before.leadLength, spans: [{ ...span, length }] };
}

function isFrameAfter(before: ExpectedTurn['payload'], { leadLength, spans, promptIds }: TokenizedPayload): boolean {
  if (before?.mode !== 'tokenized' || before.spans.length !== 1 || spans.length !== 1) return false;
  const [span, known] = [spans[0], before.spans[0]];
  return (
    leadLength === before.leadLength &&
    span?.role === known?.role &&
    span?.start === known?.start &&
    promptIds.length - (span?.length ?? 0) === before.promptIds.length - (known?.length ?? 0)
  );
}

export function idsOf(payload: TurnRecord['payload'] | undefined): TokenSequence {
  return payload?.mode === 'tokenized' ? payload.promptIds.concat(payload.replyIds) : [];
}

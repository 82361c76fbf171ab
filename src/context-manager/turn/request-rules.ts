import { DiscedgeError } from '../../domain/errors.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import type { AnsweredTurn, Turn } from '../../domain/session/session-history.ts';
import type { TurnPlace } from '../../domain/session/turn-decision.ts';
import type { TurnRequest } from './turn.ts';

/** Whether the request needs a session that is there. */
export function goesOn(place: TurnPlace): boolean {
  return 'after' in place || ('turn' in place && (place.turn > 1 || place.contextId !== undefined));
}

/** A session keeps the mode it was opened in; `undefined` where the request opens it and names none. */
export function modeOf({ mode }: TurnRequest, base: AnsweredTurn | undefined): StoredMode | undefined {
  const sessionMode = base?.record.payload.mode;
  if (sessionMode === undefined) return mode;
  if (mode === undefined || mode === sessionMode) return sessionMode;
  throw new DiscedgeError('mode_mismatch', `this session was opened in mode "${sessionMode}" and keeps it`, {
    param: 'mode',
  });
}

/** Throws `invalid_request` for a system message that does not open a session. */
export function refuseLateSystem({ messages }: Pick<TurnRequest, 'messages'>, base: Turn | undefined): void {
  if (base === undefined || messages.every(({ role }) => role !== 'system')) return;
  throw new DiscedgeError('invalid_request', 'a system message can only open a session: send it with turn 1', {
    param: 'system',
  });
}

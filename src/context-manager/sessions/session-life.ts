import type { SessionHistory } from '../../domain/session-history.ts';
import type { NodeOptions } from '../node-options.ts';

/**
 * Until when a record keeps its session: for `ttlMs` after it was written, which is as long as the session may be idle, and no
 * longer than a session may be old, however often it is used.
 */
export function livesUntilMs(
  history: Pick<SessionHistory, 'openedAtMs'>,
  { writtenAtMs, ttlMs }: { readonly writtenAtMs: number; readonly ttlMs: number },
  { ttlSecondsMax, sessionAgeSecondsMax }: Pick<NodeOptions, 'ttlSecondsMax' | 'sessionAgeSecondsMax'>,
): number {
  const idleUntilMs = writtenAtMs + Math.min(ttlMs, ttlSecondsMax * 1000);
  if (sessionAgeSecondsMax === undefined) return idleUntilMs;
  return Math.min(idleUntilMs, (history.openedAtMs ?? writtenAtMs) + sessionAgeSecondsMax * 1000);
}

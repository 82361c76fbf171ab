import type { SessionHistory, Turn } from '../../domain/session/session-history.ts';
import type { NodeOptions } from '../node-options.ts';

/** What a request names, or else what its turn has without. */
export function ttlMs({ ttlSeconds }: { readonly ttlSeconds: number | undefined }, elseMs: number): number {
  return ttlSeconds === undefined ? elseMs : ttlSeconds * 1000;
}

/** A session keeps the time to live it was given last; one that is opened has the node's default. */
export function keptTtlMs(base: Turn | undefined, { ttlSeconds }: Pick<NodeOptions, 'ttlSeconds'>): number {
  return base === undefined ? ttlSeconds * 1000 : base.record.expiresAtMs - base.record.writtenAtMs;
}

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

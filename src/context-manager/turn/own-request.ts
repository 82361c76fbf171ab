import type { TurnRequest } from './turn.ts';

/** What a request is like that no client has sent: nobody waits for it or reads it as it comes, and it changes nothing about its session. */
export const OWN_REQUEST = {
  mode: undefined,
  maxTokens: undefined,
  stop: [],
  sampling: {},
  stream: false,
  consistency: 'strong',
  maxWaitMs: 0,
  writeConcern: 'local',
  replicatedWaitMs: 0,
  ttlSeconds: undefined,
  overflow: 'error',
  reasoning: 'as-template',
} as const satisfies Omit<TurnRequest, 'userId' | 'sessionId' | 'place' | 'messages'>;

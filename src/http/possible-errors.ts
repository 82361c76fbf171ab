import type { ErrorCode } from '../domain/errors.ts';

declare module 'fastify' {
  interface FastifySchema {
    /** What can go wrong at this route beside what can in any request: its replies are described by it. */
    errors?: readonly ErrorCode[];
  }
}

type Codes = readonly ErrorCode[];

/** Before a route has seen it. */
export const OF_ANY_REQUEST: Codes = ['invalid_request', 'request_timeout', 'headers_too_large', 'internal_error'];
/** Where a node that asks who calls does ask. */
export const OF_A_PRINCIPAL: Codes = ['unauthorized', 'forbidden', 'access_unavailable', 'rate_limited'];
/** Where a request may have a body, whether or not the route has a use for it. */
export const OF_A_BODY: Codes = ['payload_too_large', 'unsupported_media_type'];
/** Where a model is named, and asked. */
export const OF_A_MODEL: Codes = ['model_not_found', 'llm_unavailable', 'llm_timeout', 'llm_bad_reply'];
export const OF_THE_STORE: Codes = ['store_unavailable', 'overloaded'];
/** Where a stored session is read, and waited for. */
export const OF_A_SESSION: Codes = [
  ...OF_A_MODEL,
  ...OF_THE_STORE,
  ...(['session_not_found', 'session_deleted', 'context_stale', 'context_corrupt', 'shutting_down'] as const),
];
export const OF_A_TURN: Codes = [
  ...OF_A_SESSION,
  ...(['unsupported_parameter', 'mode_mismatch', 'mode_unavailable', 'context_overflow'] as const),
  ...(['turn_conflict', 'turn_cancelled', 'session_busy', 'repair_incomplete', 'quota_exceeded'] as const),
];

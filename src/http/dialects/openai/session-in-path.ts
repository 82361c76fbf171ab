import type { FastifyRequest } from 'fastify';
import type { SessionKey } from '../../../domain/identifiers.ts';
import type { ResponseIds } from './responses/response-ref.ts';

/** The session that the id in a request's path leads to, for the audit log; `undefined` for one that opens for nobody, or not for who sends it. */
export function sessionInPath(ids: ResponseIds): (request: FastifyRequest) => SessionKey | undefined {
  return ({ params, principal }) => {
    const { response_id, completion_id, conversation_id } = params as Readonly<Record<string, string | undefined>>;
    if (response_id !== undefined) return ids.openResponse(response_id, principal);
    if (completion_id !== undefined) return ids.openCompletion(completion_id, principal)?.[0];
    return conversation_id === undefined ? undefined : ids.openConversation(conversation_id, principal);
  };
}

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AuditAct, AuditLog } from '../../access/audit-log.ts';
import type { SessionKey, UserId } from '../../domain/identifiers.ts';
import { userOf } from '../../domain/principals/principal.ts';
import type { Clock } from '../../environment/environment.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a request to the route is called in the audit log; absent where it is not noted. */
    audit?: AuditAct;
    /** Whose session, and which, where its path and query do not say; `undefined`: they lead to none of the principal's. */
    auditTarget?: (request: FastifyRequest) => Pick<SessionKey, 'userId' | 'sessionId'> | undefined;
  }
}

/** Refusals are counted and noted so seldom: whoever tries keys by the thousand must not fill the disk. */
const REFUSALS_EVERY_MS = 60_000;
const REFUSALS: readonly number[] = [401, 403];

/**
 * Notes acts of those who act for others, and how many requests were refused for who sent them. What a user does with what is its
 * own is no administrative act, but for erasing it all.
 */
export function noteActs(app: FastifyInstance, audit: AuditLog, clock: Clock): void {
  const refused = new Map<number, number>();
  let cancel: (() => void) | undefined;
  const noteRefusals = () => {
    cancel = undefined;
    for (const [status, requests] of refused) audit.note('access.refused', { status, requests });
    refused.clear();
  };
  app.addHook('onResponse', (request, { statusCode: status }, done) => {
    const { audit: act } = request.routeOptions.config;
    if (REFUSALS.includes(status)) {
      refused.set(status, (refused.get(status) ?? 0) + 1);
      cancel ??= clock.after(REFUSALS_EVERY_MS, noteRefusals);
    }
    // Without a principal nobody is known who did it: that is counted above.
    if (act !== undefined && request.principal !== undefined && isNoted(request, act))
      audit.note(act, { by: request.principal.name, ...targetOf(request), status });
    done();
  });
  app.addHook('onClose', async () => {
    cancel?.();
    noteRefusals();
  });
}

function isNoted({ principal }: FastifyRequest, act: AuditAct): boolean {
  return act === 'user.erase' || principal.scopes.has('service') || principal.scopes.has('operator');
}

function targetOf(request: FastifyRequest) {
  const { params, query, principal, routeOptions } = request;
  const opened = routeOptions.config.auditTarget?.(request);
  if (opened !== undefined) return { user: opened.userId, session: opened.sessionId };
  const { user_id, session_id } = params as { readonly user_id?: UserId; readonly session_id?: string };
  const { user_id: named } = query as { readonly user_id?: UserId };
  return { user: user_id ?? userOf(principal, named), session: session_id };
}

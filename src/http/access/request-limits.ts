import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Account, PrincipalAccounts } from '../../access/principal-accounts.ts';
import type { RunningTurns } from '../../context-manager/turn/running-turns.ts';
import type { Clock } from '../../environment/environment.ts';
import type { LimitHeaders } from './limit-headers.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** To whom it is counted; `undefined` where anyone may ask. */
    account: Account | undefined;
  }
  interface FastifyContextConfig {
    /** Whatever the request says, it is a turn: refused before its body is read while none is taken. */
    isTurn?: true;
  }
}

export interface RequestLimits {
  readonly accounts: PrincipalAccounts;
  readonly running: Pick<RunningTurns, 'requireRoom'>;
  readonly clock: Clock;
  readonly headers: LimitHeaders;
}

/**
 * Has the requests of a scope counted to who sends them, but for those that anyone may send, and tells what is left. Refuses as early
 * as it can be known: a crowd that is refused must not cost those who are served.
 */
export function limitRequests(scope: FastifyInstance, { accounts, running, clock, headers }: RequestLimits): void {
  scope.addHook('onRequest', (request, reply, done) => {
    const { access, isTurn } = request.routeOptions.config;
    if (request.is404 || access === 'anyone') return done();
    const account = accounts.of(request.principal);
    request.account = account;
    let fault: Error | undefined;
    try {
      account.admit();
      if (isTurn) {
        const userId = knownUser(request);
        running.requireRoom({ principal: account.principal, userId });
        account.requireTurn(userId);
      }
    } catch (error) {
      fault = error as Error;
    }
    if (account.isLimited) reply.headers(headers(account, clock.now()));
    done(fault);
  });
}

/** Whose turn it is, where its body has no say in it. */
function knownUser({ principal }: FastifyRequest) {
  return principal.scopes.has('service') ? undefined : principal.userId;
}

import type { FastifyInstance } from 'fastify';
import type { PrincipalAccount, PrincipalAccounts } from '../access/principal-accounts.ts';
import type { Clock } from '../environment/environment.ts';
import type { LimitHeaders } from './limit-headers.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** To whom it is counted; `undefined` where nothing limits its principal. */
    account: PrincipalAccount | undefined;
  }
}

/** Has the requests of a scope counted to who sends them, but for those that anyone may send, and tells what is left. */
export function limitRequests(
  scope: FastifyInstance,
  { accounts, clock, headers }: { accounts: PrincipalAccounts; clock: Clock; headers: LimitHeaders },
): void {
  scope.addHook('onRequest', (request, reply, done) => {
    if (request.is404 || request.routeOptions.config.access === 'anyone') return done();
    const account = accounts.of(request.principal);
    if (account === undefined) return done();
    request.account = account;
    let fault: Error | undefined;
    try {
      account.admit();
    } catch (error) {
      fault = error as Error;
    }
    reply.headers(headers(account, clock.now()));
    done(fault);
  });
}

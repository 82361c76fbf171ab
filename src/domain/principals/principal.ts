import { ANONYMOUS, type UserId } from '../identifiers.ts';
import type { Limits } from './limits.ts';

/**
 * What a principal may do. `user`: its own sessions. `service`: the sessions of whichever user it names. `operator`: what is the
 * node's, such as metrics, and not what sessions say. `read-only`, beside another: nothing that changes anything.
 */
export const SCOPES = ['user', 'service', 'operator', 'read-only'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who a request comes from, as far as the node has made sure of it. */
export interface Principal {
  /** For limits and the audit log: the id of its key, or issuer and subject of its token. Says nothing of its secret. */
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Whose sessions it uses; of a service, where it names nobody. */
  readonly userId: UserId;
  /** Of its own, in place of the node's. */
  readonly limits?: Limits | undefined;
}

/** Anyone, on a node that asks nobody: what a request says of its user is taken at its word. */
export const ANYONE: Principal = {
  name: 'anyone',
  scopes: new Set(['service', 'operator']),
  userId: ANONYMOUS,
};

/** Whose sessions are meant: a name counts only where the principal acts for others. */
export function userOf({ scopes, userId }: Principal, named: UserId | undefined): UserId {
  return scopes.has('service') ? (named ?? userId) : userId;
}

/** Whether this user's sessions are its to use. */
export function mayUse({ scopes, userId }: Principal, owner: UserId): boolean {
  return scopes.has('service') || (scopes.has('user') && userId === owner);
}

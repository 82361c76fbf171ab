import { DiscedgeError } from '../../domain/errors.ts';
import type { UserId } from '../../domain/identifiers.ts';
import { mayUse, type Principal } from '../../domain/principals/principal.ts';

/** Throws `forbidden` for a user who is not the principal, nor one that it acts for, whether or not there is such a user. */
export function requireOwn(principal: Principal, userId: UserId): void {
  if (!mayUse(principal, userId)) throw new DiscedgeError('forbidden', 'this key is not for that user');
}

/** The same, and an operator may: what it administers, it reads nothing of. */
export function requireAdministrable(principal: Principal, userId: UserId): void {
  if (!principal.scopes.has('operator')) requireOwn(principal, userId);
}

import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { DiscedgeError } from '../domain/errors.ts';
import { isId, type UserId } from '../domain/identifiers.ts';
import { type Principal, SCOPES, type Scope } from '../domain/principals/principal.ts';
import type { Clock } from '../environment/environment.ts';
import type { TokenCheck } from './asked-access.ts';
import { IssuerKeys, keysAt, keysInFile } from './issuer-keys.ts';

/** Which tokens of which issuer count. */
export interface TokenIssuer {
  readonly issuer: string;
  readonly audience: string;
  /** Where its public keys are: an `https:` URL (`http:` on loopback), or the path of a file that is read again when it changes. */
  readonly keys: { readonly url: string } | { readonly file: string };
  /** The claim that says whose sessions a token is good for. */
  readonly userClaim: string;
  /** The claim with scopes, blanks between them or as a list; `discedge:operator` and so on count, others are passed over. */
  readonly scopeClaim: string;
}

/** Keys that anyone could make tokens with, as shared secrets can, are none. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const CLOCK_TOLERANCE_SECONDS = 30;
const SCOPE_PREFIX = 'discedge:';

/** JSON Web Tokens of one issuer (RFC 7519), as OpenID Connect has them. */
export class BearerTokens implements TokenCheck {
  readonly #issuer: TokenIssuer;
  readonly #clock: Clock;
  readonly #keys: JWTVerifyGetKey;

  constructor(issuer: TokenIssuer, clock: Clock) {
    this.#issuer = issuer;
    this.#clock = clock;
    const { keys } = issuer;
    this.#keys = new IssuerKeys(() => ('url' in keys ? keysAt(keys.url) : keysInFile(keys.file)), clock).keyOf;
  }

  async principal(token: string): Promise<Principal | undefined> {
    const { issuer, audience, userClaim, scopeClaim } = this.#issuer;
    try {
      const { payload } = await jwtVerify(token, this.#keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: new Date(this.#clock.now()),
        requiredClaims: ['exp', 'sub'],
      });
      const user = payload[userClaim];
      if (typeof user !== 'string' || !isId(user)) return undefined;
      return { name: `${issuer}|${payload.sub}`, scopes: scopesOf(payload, scopeClaim), userId: user as UserId };
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      const message = 'the keys of the token issuer cannot be had, so no token can be checked';
      throw new DiscedgeError('access_unavailable', message, { cause: error });
    }
  }
}

function scopesOf(payload: JWTPayload, claim: string): ReadonlySet<Scope> {
  const said = payload[claim];
  const names = typeof said === 'string' ? said.split(' ') : Array.isArray(said) ? said : [];
  const known = SCOPES.filter((scope) => names.includes(SCOPE_PREFIX + scope));
  // A token that says nothing of scopes is a person's.
  return new Set(known.some((scope) => scope !== 'read-only') ? known : [...known, 'user']);
}

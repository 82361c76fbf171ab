import { readFile } from 'node:fs/promises';
import { createLocalJWKSet, createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { DiscedgeError } from '../domain/errors.ts';
import { isId, type UserId } from '../domain/identifiers.ts';
import { type Principal, SCOPES, type Scope } from '../domain/principal.ts';
import type { Clock } from '../environment/environment.ts';
import type { TokenCheck } from './asked-access.ts';

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
/** A set of keys is asked for again after so long, and at once for a key that it lacks, at most so often. */
const KEYS_GOOD_FOR_MS = 600_000;
const ASKED_AGAIN_AFTER_MS = 30_000;
const FETCH_WAIT_MS = 5_000;
const SCOPE_PREFIX = 'discedge:';

/** JSON Web Tokens of one issuer (RFC 7519), as OpenID Connect has them. */
export class BearerTokens implements TokenCheck {
  readonly #issuer: TokenIssuer;
  readonly #clock: Clock;
  readonly #keys: JWTVerifyGetKey;

  constructor(issuer: TokenIssuer, clock: Clock) {
    this.#issuer = issuer;
    this.#clock = clock;
    this.#keys =
      'url' in issuer.keys
        ? createRemoteJWKSet(new URL(issuer.keys.url), {
            cacheMaxAge: KEYS_GOOD_FOR_MS,
            cooldownDuration: ASKED_AGAIN_AFTER_MS,
            timeoutDuration: FETCH_WAIT_MS,
          })
        : keysInFile(issuer.keys.file, clock);
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
      if (error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout) && !isFetchFailure(error))
        return undefined;
      const message = 'the keys of the token issuer cannot be had, so no token can be checked';
      throw new DiscedgeError('access_unavailable', message, { cause: error });
    }
  }
}

/** What jose says when the answer of the issuer is no set of keys; it has no class of its own. */
function isFetchFailure(error: errors.JOSEError): boolean {
  return error.code === 'ERR_JOSE_GENERIC';
}

function scopesOf(payload: JWTPayload, claim: string): ReadonlySet<Scope> {
  const said = payload[claim];
  const names = typeof said === 'string' ? said.split(' ') : Array.isArray(said) ? said : [];
  const known = SCOPES.filter((scope) => names.includes(SCOPE_PREFIX + scope));
  // A token that says nothing of scopes is a person's.
  return new Set(known.some((scope) => scope !== 'read-only') ? known : [...known, 'user']);
}

/** Read when first asked, when what was read is old, and, at most every {@link ASKED_AGAIN_AFTER_MS}, for a key that it lacks. */
function keysInFile(path: string, clock: Clock): JWTVerifyGetKey {
  let keys: JWTVerifyGetKey | undefined;
  let readMs = Number.NEGATIVE_INFINITY;
  const read = async () => {
    readMs = clock.monotonic();
    keys = createLocalJWKSet(JSON.parse(await readFile(path, 'utf8')));
    return keys;
  };
  return async (header, token) => {
    try {
      const isGood = keys !== undefined && clock.monotonic() - readMs < KEYS_GOOD_FOR_MS;
      return await (isGood ? (keys as JWTVerifyGetKey) : await read())(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || clock.monotonic() - readMs < ASKED_AGAIN_AFTER_MS)
        throw error;
      return (await read())(header, token);
    }
  };
}

import { DiscedgeError } from '../domain/errors.ts';
import type { Principal } from '../domain/principals/principal.ts';
import type { Clock } from '../environment/environment.ts';
import type { Access, Credential } from './access.ts';
import { isSecretOf, readApiKeyText, whyOver } from './api-key.ts';
import type { KeyFolder } from './key-folder.ts';

/** What tells whose a token is. */
export interface TokenCheck {
  /** `undefined` for one that does not count. Throws `access_unavailable` where that cannot be found out. */
  principal(token: string): Promise<Principal | undefined>;
}

export interface AskedAccessParts {
  readonly keys: KeyFolder;
  /** `undefined`: none counts. */
  readonly tokens: TokenCheck | undefined;
  readonly clock: Clock;
  readonly onlyLocal: boolean;
}

/** Longer ones are no tokens; nothing is decoded of them. */
const TOKEN_CHARS_MAX = 16_384;

/** Whoever has an API key of this folder, or a token of this issuer. */
export class AskedAccess implements Access {
  readonly onlyLocal: boolean;
  readonly #keys: KeyFolder;
  readonly #tokens: TokenCheck | undefined;
  readonly #clock: Clock;
  #hasAsked = false;

  constructor({ keys, tokens, clock, onlyLocal }: AskedAccessParts) {
    this.onlyLocal = onlyLocal;
    this.#keys = keys;
    this.#tokens = tokens;
    this.#clock = clock;
  }

  /** Once it has, always: that keys are gone from their folder opens no door. */
  get asks(): boolean {
    this.#hasAsked ||= this.#tokens !== undefined || this.#keys.hasAny;
    return this.#hasAsked;
  }

  authenticate({ bearer = '' }: Credential): Principal | Promise<Principal> {
    if (this.#tokens !== undefined && isToken(bearer)) return this.#byToken(this.#tokens, bearer);
    const { id = '', secret = bearer } = readApiKeyText(bearer) ?? {};
    const key = this.#keys.get(id);
    // Compared in any case: that there is no such key, or that it is over, is not told sooner.
    const isRight = isSecretOf(key, secret);
    if (!isRight || key === undefined || whyOver(key, this.#clock.now()) !== undefined) throw unauthorized();
    return { name: key.id, scopes: new Set(key.scopes), userId: key.user, limits: key.limits };
  }

  async #byToken(tokens: TokenCheck, bearer: string): Promise<Principal> {
    const principal = await tokens.principal(bearer);
    if (principal === undefined) throw unauthorized();
    return principal;
  }
}

function isToken(text: string): boolean {
  return text.length <= TOKEN_CHARS_MAX && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);
}

function unauthorized(): DiscedgeError {
  const message = 'this node needs an API key or a token that counts, in the header authorization: Bearer …';
  return new DiscedgeError('unauthorized', message);
}

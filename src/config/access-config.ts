import { resolve } from 'node:path';
import { isLoopbackHost } from '../domain/loopback.ts';
import type { Limits } from '../domain/principals/limits.ts';
import type { Complain } from './given-settings.ts';
import { readLimits } from './settings/limit-settings.ts';
import type { Settings } from './settings/settings.ts';

/** Who may use the node, read and checked. */
export interface AccessConfig {
  readonly keysDir: string;
  /** `undefined`: no tokens count. */
  readonly tokens: TokenConfig | undefined;
  /** Whether others than this machine are served though nobody is asked. */
  readonly servesAnyone: boolean;
  /** `undefined`: nothing is noted. */
  readonly auditLog: string | undefined;
  /** Of each principal that has none of its own. */
  readonly limits: Limits;
}

export interface TokenConfig {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: { readonly url: string } | { readonly file: string };
  readonly userClaim: string;
  readonly scopeClaim: string;
}

export function readAccess(settings: Settings, complain: Complain): AccessConfig {
  const { keysDir, dataDir, serveAnyone: servesAnyone } = settings;
  return {
    keysDir: resolve(keysDir ?? resolve(dataDir, 'keys')),
    tokens: readTokens(settings, complain),
    servesAnyone,
    auditLog: settings.auditLog === undefined ? undefined : resolve(settings.auditLog),
    limits: readLimits(settings),
  };
}

function readTokens(settings: Settings, complain: Complain): TokenConfig | undefined {
  const {
    jwtIssuer: issuer,
    jwtAudience: audience,
    jwtKeys,
    jwtUserClaim: userClaim,
    jwtScopeClaim: scopeClaim,
  } = settings;
  if (issuer === undefined) {
    if (audience !== undefined) complain('jwtAudience', 'needs jwt-issuer');
    if (jwtKeys !== undefined) complain('jwtKeys', 'needs jwt-issuer');
    return undefined;
  }
  if (audience === undefined)
    complain('jwtIssuer', 'needs jwt-audience: a token made for somebody else must not count');
  if (jwtKeys === undefined) complain('jwtIssuer', "needs jwt-keys, the URL or file of the issuer's keys");
  if (audience === undefined || jwtKeys === undefined) return undefined;
  const keys = placeOfKeys(jwtKeys, complain);
  return keys && { issuer, audience, keys, userClaim, scopeClaim };
}

function placeOfKeys(place: string, complain: Complain): TokenConfig['keys'] | undefined {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(place)) return { file: resolve(place) };
  const url = URL.canParse(place) ? new URL(place) : undefined;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopbackHost(url.hostname));
  if (isSafe) return { url: place };
  complain(
    'jwtKeys',
    'must be an https URL, http on this machine alone, or a file: keys that a network can change are none',
  );
  return undefined;
}

import { createHash, timingSafeEqual } from 'node:crypto';
import { isId, type UserId } from '../domain/identifiers.ts';
import { isLimits, type Limits } from '../domain/principals/limits.ts';
import { SCOPES, type Scope } from '../domain/principals/principal.ts';
import type { Random } from '../environment/environment.ts';

/** What is kept of an API key: not the key. */
export interface ApiKey {
  /** Part of the key's text, and no secret. */
  readonly id: string;
  /** SHA-256 of the secret, hex. It has 256 bits of chance, so that a slow hash would only slow the node. */
  readonly hash: string;
  readonly scopes: readonly Scope[];
  /** Whose sessions it uses; a service's, where it names nobody. */
  readonly user: UserId;
  /** In place of those of the nodes. */
  readonly limits?: Limits;
  /** For people. */
  readonly label?: string;
  readonly createdAtMs: number;
  readonly expiresAtMs?: number;
  readonly revokedAtMs?: number;
}

const PREFIX = 'dsc';
const ID_BYTES = 9;
const SECRET_BYTES = 32;
const TEXT = /^dsc_([A-Za-z0-9]{12})_([A-Za-z0-9_-]{43})$/;
const ID = /^[A-Za-z0-9]{12}$/;
const HASH = /^[0-9a-f]{64}$/;
export const LABEL_CHARS_MAX = 128;

/** A key as it is given out, once, and what is kept of it. Throws RangeError for a label that is too long. */
export function newApiKey(
  of: Pick<ApiKey, 'scopes' | 'limits' | 'label' | 'expiresAtMs'> & { readonly user: UserId | undefined },
  { random, nowMs }: { readonly random: Pick<Random, 'bytes'>; readonly nowMs: number },
): { readonly text: string; readonly kept: ApiKey } {
  // The underscore parts the key, and what begins with a dash looks like a flag.
  const id = base64url(random.bytes(ID_BYTES)).replaceAll('_', 'u').replaceAll('-', 'd');
  const secret = base64url(random.bytes(SECRET_BYTES));
  const { user = id as UserId, limits, label, expiresAtMs } = of;
  if (label !== undefined && label.length > LABEL_CHARS_MAX)
    throw new RangeError(`a label has at most ${LABEL_CHARS_MAX} characters`);
  const kept = {
    id,
    hash: hashOf(secret).toString('hex'),
    scopes: of.scopes,
    user,
    ...(limits !== undefined && { limits }),
    ...(label !== undefined && { label }),
    createdAtMs: nowMs,
    ...(expiresAtMs !== undefined && { expiresAtMs }),
  };
  return { text: `${PREFIX}_${id}_${secret}`, kept };
}

/** The parts of a key's text; `undefined` for what is none. */
export function readApiKeyText(text: string): { readonly id: string; readonly secret: string } | undefined {
  const [, id, secret] = TEXT.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** Compares in constant time; without a key it takes as long. */
export function isSecretOf(key: ApiKey | undefined, secret: string): boolean {
  const isEqual = timingSafeEqual(hashOf(secret), Buffer.from(key?.hash ?? NOBODYS_HASH, 'hex'));
  return isEqual && key !== undefined;
}

const NOBODYS_HASH = '0'.repeat(64);

/** Why it counts no more; `undefined` while it does. */
export function whyOver({ expiresAtMs, revokedAtMs }: ApiKey, nowMs: number): 'expired' | 'revoked' | undefined {
  if (revokedAtMs !== undefined) return 'revoked';
  return expiresAtMs !== undefined && expiresAtMs <= nowMs ? 'expired' : undefined;
}

/** One key, as two places have it: a revocation is never lost, and wins. Throws for two keys of one id. */
export function mergedKey(a: ApiKey, b: ApiKey): ApiKey {
  if (a.id !== b.id || a.hash !== b.hash) throw new TypeError(`two keys have the id ${a.id}`);
  const revoked = [a.revokedAtMs, b.revokedAtMs].filter((ms) => ms !== undefined);
  return revoked.length === 0 ? a : { ...a, revokedAtMs: Math.min(...revoked) };
}

export function apiKeyJson(key: ApiKey): string {
  return `${JSON.stringify(key, undefined, 2)}\n`;
}

/** Throws SyntaxError or TypeError for anything but what {@link apiKeyJson} has written. */
export function readApiKeyJson(text: string): ApiKey {
  const value = JSON.parse(text) as Partial<Record<keyof ApiKey, unknown>>;
  const { id, hash, scopes, user, limits, label, createdAtMs, expiresAtMs, revokedAtMs } = value ?? {};
  const isKey =
    typeof id === 'string' &&
    ID.test(id) &&
    typeof hash === 'string' &&
    HASH.test(hash) &&
    Array.isArray(scopes) &&
    scopes.length > 0 &&
    scopes.every((scope) => SCOPES.includes(scope)) &&
    typeof user === 'string' &&
    isId(user) &&
    (limits === undefined || isLimits(limits)) &&
    (label === undefined || (typeof label === 'string' && label.length <= LABEL_CHARS_MAX)) &&
    isTime(createdAtMs) &&
    (expiresAtMs === undefined || isTime(expiresAtMs)) &&
    (revokedAtMs === undefined || isTime(revokedAtMs));
  if (!isKey) throw new TypeError('not what is kept of an API key');
  return {
    id,
    hash,
    scopes: [...new Set(scopes as Scope[])],
    user: user as UserId,
    createdAtMs,
    ...(limits !== undefined && { limits }),
    ...(label !== undefined && { label }),
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(revokedAtMs !== undefined && { revokedAtMs }),
  };
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

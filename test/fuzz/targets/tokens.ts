import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { BearerTokens } from '../../../src/access/bearer-tokens.ts';
import { isId } from '../../../src/domain/identifiers.ts';
import { SCOPES } from '../../../src/domain/principals/principal.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const ISSUER = 'https://issuer.example';

/** JSON Web Tokens: their text, and, rightly signed, their head and claims. Whoever one lets in is somebody. */
export const open: OpenTarget = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-tokens-'));
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const file = join(folder, 'keys.json');
  writeFileSync(file, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }] }));
  const { clock } = virtualEnvironment();
  const tokens = new BearerTokens(
    { issuer: ISSUER, audience: 'discedge', keys: { file }, userClaim: 'sub', scopeClaim: 'scope' },
    clock,
  );
  const claims = { sub: 'eve', iss: ISSUER, aud: 'discedge', exp: 9e9, scope: 'openid discedge:service' };
  const signed = (payload: Uint8Array | object) =>
    new SignJWT(payload as Record<string, unknown>).setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(privateKey);
  return {
    seeds: [await signed(claims), JSON.stringify(claims), JSON.stringify({ ...claims, scope: ['discedge:user'] })],
    words: [
      'sub',
      'iss',
      'aud',
      'exp',
      'nbf',
      'iat',
      'scope',
      'kid',
      'alg',
      'crit',
      'none',
      'discedge:operator',
      ISSUER,
    ],
    isJson: true,
    async check(input) {
      const text = input.toString('utf8');
      const payload = objectOf(text);
      // A library refuses to sign what it would not take.
      const token = payload && (await signed(payload).catch(() => undefined));
      for (const sent of token === undefined ? [text] : [text, token]) {
        const principal = await tokens.principal(sent);
        if (principal === undefined) continue;
        if (!isId(principal.userId) || principal.scopes.size === 0) throw new Error('lets in nobody');
        if ([...principal.scopes].some((scope) => !SCOPES.includes(scope)))
          throw new Error('a scope that there is not');
      }
    },
    close: async () => rmSync(folder, { recursive: true }),
  };
};

function objectOf(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

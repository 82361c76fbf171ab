// Takes a token issuer away and brings it back, with other keys: tries to have it asked again and again while it is away, to have
// tokens refused that its last keys are good for, and to have a key count that it has long taken back.
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { BearerTokens } from '../../../src/access/bearer-tokens.ts';
import {
  FAILED_AGAIN_AFTER_MS,
  IssuerKeys,
  KeysUnavailable,
  keysAt,
  STALE_FOR_MS,
} from '../../../src/access/issuer-keys.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';

const MINUTE_MS = 60_000;
const made = async (kid: string) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' } };
};
let first: Awaited<ReturnType<typeof made>>;
let second: Awaited<ReturnType<typeof made>>;
beforeAll(async () => {
  [first, second] = [await made('first'), await made('second')];
});

let environment: VirtualEnvironment;
let asked: number;
let answer: () => Promise<unknown>;
let keys: IssuerKeys;
beforeEach(() => {
  environment = virtualEnvironment();
  asked = 0;
  answer = async () => ({ keys: [first.jwk] });
  const read = () => {
    asked++;
    return answer();
  };
  keys = new IssuerKeys(read, environment.clock);
});

/** Whether a token of this key can be checked: `known`, `unknown` or `unavailable`. */
async function outcome({ kid }: { readonly kid: string }): Promise<string> {
  const token = { payload: '', signature: '' };
  return Promise.resolve(keys.keyOf({ alg: 'ES256', kid }, token as never)).then(
    () => 'known',
    (error: unknown) => (error instanceof KeysUnavailable ? 'unavailable' : 'unknown'),
  );
}

const isAway = () => Promise.reject(new Error('no such host'));

it('many tokens at once are one question, and later ones none', async () => {
  expect(await Promise.all(Array.from({ length: 20 }, () => outcome(first)))).toEqual(Array(20).fill('known'));
  await environment.advance(9 * MINUTE_MS);
  expect(await outcome(first)).toBe('known');
  expect(asked).toBe(1);
});

it('an issuer that is away is asked once in a while, however many tokens come', async () => {
  answer = isAway;
  for (let times = 0; times < 100; times++) expect(await outcome(first)).toBe('unavailable');
  expect(asked).toBe(1);
  await environment.advance(FAILED_AGAIN_AFTER_MS);
  for (let times = 0; times < 100; times++) expect(await outcome(first)).toBe('unavailable');
  expect(asked).toBe(2);
});

it('and counts again as soon as it is asked again', async () => {
  answer = isAway;
  await outcome(first);
  answer = async () => ({ keys: [first.jwk] });
  expect(await outcome(first)).toBe('unavailable');
  await environment.advance(FAILED_AGAIN_AFTER_MS);
  expect(await outcome(first)).toBe('known');
});

it.each([
  ['no JSON Web Keys', { keys: 'none' }],
  ['nothing', undefined],
  ['a list', []],
])('an answer that is %s is no answer', async (_, said) => {
  answer = async () => said;
  expect(await outcome(first)).toBe('unavailable');
  expect(asked).toBe(1);
});

it('its last keys go on counting while it is away, and no longer than is said', async () => {
  await outcome(first);
  answer = isAway;
  for (let minutes = 5; minutes * MINUTE_MS < STALE_FOR_MS; minutes += 5) {
    await environment.advance(5 * MINUTE_MS);
    expect(await outcome(first), `after ${minutes} minutes`).toBe('known');
  }
  await environment.advance(5 * MINUTE_MS);
  expect(await outcome(first)).toBe('unavailable');
  answer = async () => ({ keys: [first.jwk] });
  await environment.advance(FAILED_AGAIN_AFTER_MS);
  expect(await outcome(first)).toBe('known');
});

it('nobody waits for one that does not answer any more', async () => {
  await outcome(first);
  answer = isAway;
  await environment.advance(11 * MINUTE_MS);
  await outcome(first);
  answer = () => new Promise(() => {});
  await environment.advance(FAILED_AGAIN_AFTER_MS);
  expect(await outcome(first)).toBe('known');
  expect(asked).toBe(3);
});

it('a new key is found at once, and an unknown one does not have the issuer asked each time', async () => {
  await outcome(first);
  await environment.advance(MINUTE_MS);
  answer = async () => ({ keys: [second.jwk] });
  expect(await outcome(second)).toBe('known');
  expect(await outcome(first)).toBe('unknown');
  for (let times = 0; times < 100; times++) expect(await outcome({ kid: 'made up' })).toBe('unknown');
  expect(asked).toBe(2);
  await environment.advance(MINUTE_MS);
  expect(await outcome({ kid: 'made up' })).toBe('unknown');
  expect(asked).toBe(3);
});

it('that a key is none is not known while the issuer is away', async () => {
  await outcome(first);
  await environment.advance(MINUTE_MS);
  answer = isAway;
  expect(await outcome(second)).toBe('unavailable');
  expect(await outcome(first)).toBe('known');
  expect(asked).toBe(2);
});

it('over HTTP, only a whole set of bounded size from that address is one', async () => {
  let listener: RequestListener = (_, response) => response.end(JSON.stringify({ keys: [first.jwk] }));
  const server = createServer((request, response) => listener(request, response));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  try {
    expect(await keysAt(url)).toEqual({ keys: [first.jwk] });
    const wrong: readonly RequestListener[] = [
      (_, response) => response.writeHead(500).end('{"keys":[]}'),
      (_, response) => response.writeHead(302, { location: url }).end(),
      (_, response) => response.end(Buffer.alloc(2 * 1024 * 1024, ' ')),
      (_, response) => response.end('{"keys":'),
      (_, response) => void response.writeHead(200).write('{', () => response.destroy()),
    ];
    for (const [place, one] of wrong.entries()) {
      listener = one;
      await expect(keysAt(url), String(place)).rejects.toThrow();
    }
    listener = (_, response) => response.writeHead(500).end();
    const issuer = { issuer: 'https://i', audience: 'a', keys: { url }, userClaim: 'sub', scopeClaim: 'scope' };
    const token = await new SignJWT({ sub: 'eve', iss: 'https://i', aud: 'a', exp: 9e9 })
      .setProtectedHeader({ alg: 'ES256', kid: 'first' })
      .sign(first.privateKey);
    const tokens = new BearerTokens(issuer, environment.clock);
    await expect(tokens.principal(token)).rejects.toMatchObject({ code: 'access_unavailable' });
    listener = (_, response) => response.end(JSON.stringify({ keys: [first.jwk] }));
    await environment.advance(FAILED_AGAIN_AFTER_MS);
    expect(await tokens.principal(token)).toMatchObject({ userId: 'eve' });
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

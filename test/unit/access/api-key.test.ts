import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ApiKey,
  apiKeyJson,
  isSecretOf,
  mergedKey,
  newApiKey,
  readApiKeyJson,
  readApiKeyText,
  whyOver,
} from '../../../src/access/api-key.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';

const random = { bytes: randomBytes };
const made = (of: Partial<Parameters<typeof newApiKey>[0]> = {}) =>
  newApiKey({ scopes: ['user'], user: undefined, ...of }, { random, nowMs: 1_000 });

describe('an API key', () => {
  it('is told by its secret, of which only a hash is kept', () => {
    for (let times = 0; times < 50; times++) {
      const { text, kept } = made();
      const { id, secret } = readApiKeyText(text) ?? { id: '', secret: '' };
      expect(id).toBe(kept.id);
      expect(isSecretOf(kept, secret)).toBe(true);
      expect(apiKeyJson(kept)).not.toContain(secret);
      expect(isSecretOf(kept, readApiKeyText(made().text)?.secret ?? '')).toBe(false);
      expect(isSecretOf(undefined, secret)).toBe(false);
    }
  });

  it('is for the sessions of a user of its own, unless one is named', () => {
    const { kept } = made();
    expect(kept.user).toBe(kept.id);
    expect(made({ user: 'ada' as UserId }).kept.user).toBe('ada');
  });

  it('counts until it expires or is revoked', () => {
    const { kept } = made({ expiresAtMs: 2_000 });
    expect(whyOver(kept, 1_999)).toBeUndefined();
    expect(whyOver(kept, 2_000)).toBe('expired');
    expect(whyOver({ ...kept, revokedAtMs: 1_500 }, 1_000)).toBe('revoked');
  });

  it('is written and read back alike', () => {
    const limited = { limits: { requestsPerSecond: 3, bytes: 4096 } };
    for (const of of [
      {},
      { label: 'robot 7', expiresAtMs: 5_000 },
      { scopes: ['operator', 'read-only'] as const },
      limited,
    ]) {
      const { kept } = made(of);
      expect(readApiKeyJson(apiKeyJson(kept))).toEqual(kept);
      const revoked = { ...kept, revokedAtMs: 3 };
      expect(readApiKeyJson(apiKeyJson(revoked))).toEqual(revoked);
    }
  });

  it('is merged alike from wherever: once revoked, always revoked', () => {
    const { kept } = made();
    const times = fc.option(fc.nat(), { nil: undefined });
    const at = (revokedAtMs: number | undefined): ApiKey =>
      revokedAtMs === undefined ? kept : { ...kept, revokedAtMs };
    fc.assert(
      fc.property(times, times, times, (a, b, c) => {
        expect(mergedKey(at(a), at(b))).toEqual(mergedKey(at(b), at(a)));
        expect(mergedKey(mergedKey(at(a), at(b)), at(c))).toEqual(mergedKey(at(a), mergedKey(at(b), at(c))));
        expect(mergedKey(at(a), at(a))).toEqual(at(a));
        if (a !== undefined) expect(mergedKey(at(a), at(b)).revokedAtMs).toBeLessThanOrEqual(a);
      }),
    );
    expect(() => mergedKey(kept, made().kept)).toThrow(TypeError);
  });

  it('counts for none where its limits cannot be read, rather than for one without', () => {
    const { kept } = made();
    for (const limits of [{ requestsPerSecond: 0 }, { requestsPerSecond: '3' }, { unheardOf: 1 }, [], 'none', null])
      expect(() => readApiKeyJson(JSON.stringify({ ...kept, limits })), JSON.stringify(limits)).toThrow(TypeError);
  });

  it('has no label that could not be read back', () => {
    expect(() => made({ label: 'x'.repeat(129) })).toThrow(RangeError);
    expect(readApiKeyJson(apiKeyJson(made({ label: 'x'.repeat(128) }).kept)).label).toHaveLength(128);
  });

  it('is nothing that has another form', () => {
    const { text } = made();
    for (const other of ['', 'dsc_', text.slice(1), `${text}x`, text.replace('dsc', 'sk'), `${text} `, `\n${text}`])
      expect(readApiKeyText(other)).toBeUndefined();
    fc.assert(
      fc.property(fc.string(), (other) => {
        expect(readApiKeyText(other)).toBeUndefined();
      }),
    );
  });

  it('is never read from anything but what was written', () => {
    const { kept } = made({ expiresAtMs: 9 });
    const wrong: Record<string, unknown> = {
      id: '../../etc/pass',
      hash: 'ab',
      scopes: ['root'],
      user: '..',
      label: 'x'.repeat(129),
      createdAtMs: -1,
      expiresAtMs: 'never',
      revokedAtMs: 0.5,
    };
    for (const [field, value] of Object.entries(wrong))
      expect(() => readApiKeyJson(JSON.stringify({ ...kept, [field]: value }))).toThrow(TypeError);
    expect(() => readApiKeyJson(JSON.stringify({ ...kept, scopes: [] }))).toThrow(TypeError);
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(() => readApiKeyJson(text)).toThrow();
      }),
    );
  });
});

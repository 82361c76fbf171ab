import { apiKeyJson, mergedKey, newApiKey, readApiKeyJson, readApiKeyText } from '../../../src/access/api-key.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';
import { ANYONE } from '../../../src/domain/principals/principal.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';

/** What is sent as a key, and files of keys: from a folder, or from another node. */
export const open: OpenTarget = () => {
  const { random } = virtualEnvironment();
  const of = { scopes: ['user'], user: 'ada' as UserId, label: 'a phone', expiresAtMs: 9e12 } as const;
  const { text, kept } = newApiKey(of, { random, nowMs: 1 });
  return {
    seeds: [text, apiKeyJson(kept), apiKeyJson({ ...kept, revokedAtMs: 5, scopes: ['service', 'read-only'] })],
    words: ['user', 'service', 'operator', 'read-only', ANYONE.name, 'dsc_'],
    isJson: true,
    check(input) {
      const sent = input.toString('utf8');
      const parts = readApiKeyText(sent);
      if (parts !== undefined && `dsc_${parts.id}_${parts.secret}` !== sent) throw new Error('two texts of one key');
      const key = refusedOr(() => readApiKeyJson(sent), SyntaxError, TypeError);
      if (key === undefined) return;
      if (apiKeyJson(readApiKeyJson(apiKeyJson(key))) !== apiKeyJson(key)) throw new Error('two forms of one key');
      refusedOr(() => mergedKey(kept, key), TypeError);
    },
  };
};

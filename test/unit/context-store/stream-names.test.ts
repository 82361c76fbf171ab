// Two keygroups of one node whose streams would have one name, which four digits can have by chance.
import { expect, test } from 'vitest';
import { keygroupCode, requireDistinctCodes } from '../../../src/context-store/nats/names.ts';
import type { KeygroupId } from '../../../src/domain/identifiers.ts';

test('keygroups with one code are refused before their records mix in one stream', () => {
  const [one, same, other] = ['00000000000a0001', '00000000000a0002', '00000000000b0001'] as KeygroupId[];
  expect(keygroupCode(one as KeygroupId)).toBe(keygroupCode(same as KeygroupId));
  expect(() => requireDistinctCodes([one, same] as KeygroupId[])).toThrow(/share one stream.*another name/);
  expect(() => requireDistinctCodes([one, other] as KeygroupId[])).not.toThrow();
});

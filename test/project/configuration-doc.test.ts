/** Tries to let docs/configuration.md say something else than the settings' schema does. */
import { expect, it } from 'vitest';
import { SETTINGS } from '../../src/config/settings/settings.ts';
import { configurationDocument } from '../support/configuration-document.ts';

it('docs/configuration.md is what the schema says (npx vitest run test/project/configuration-doc.test.ts -u)', async () => {
  await expect(configurationDocument()).toMatchFileSnapshot('../../docs/configuration.md');
});

it.each(SETTINGS)('$key is described well enough to be set', ({ description, key, kind, unit, minimum, maximum }) => {
  expect(description).toMatch(/^[A-Z].*[.]$/);
  if (kind !== 'integer' && kind !== 'size') return;
  expect(unit, 'has a unit').toBeDefined();
  expect(key, 'ends in its unit, or in a word for what is counted').toMatch(
    /-(ms|seconds|bytes|tokens|percent|per-second)(-(max|limit|default))?$|^(parallel|threads)$|-(max)$|^limit-/,
  );
  expect([minimum, maximum], 'is bounded').not.toContain(undefined);
});

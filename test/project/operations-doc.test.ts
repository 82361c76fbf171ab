/** Tries to let docs/operations.md show another nats-server configuration than the node writes; real servers read those. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { configsIn, DOCUMENTED_CONFIGS, withConfigs } from '../support/operations-document.ts';

const document = readFileSync(fileURLToPath(new URL('../../docs/operations.md', import.meta.url)), 'utf8');

it('docs/operations.md shows what the code writes (npx vitest run test/project/operations-doc.test.ts -u)', async () => {
  await expect(withConfigs(document)).toMatchFileSnapshot('../../docs/operations.md');
});

it('every topology is shown', () => {
  expect(configsIn(document).sort()).toEqual(Object.keys(DOCUMENTED_CONFIGS).sort());
});

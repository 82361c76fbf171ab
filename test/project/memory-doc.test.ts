// Tries to let docs/memory.md say something else than what is chosen for models of those shapes.
import { expect, it } from 'vitest';
import { memoryDocument } from '../support/memory-document.ts';

it('docs/memory.md is what is chosen (npx vitest run test/project/memory-doc.test.ts -u)', async () => {
  await expect(await memoryDocument()).toMatchFileSnapshot('../../docs/memory.md');
});

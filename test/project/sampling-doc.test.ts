// Tries to let docs/sampling.md say something else than what the embedded service does with a parameter, or leave one out.
import { expect, it } from 'vitest';
import { parseSampling } from '../../src/llm-service/embedded/sampling.ts';
import { DOCUMENTED, samplingDocument } from '../support/sampling-document.ts';

it('docs/sampling.md is what the code does (npx vitest run test/project/sampling-doc.test.ts -u)', async () => {
  await expect(await samplingDocument()).toMatchFileSnapshot('../../docs/sampling.md');
});

it('names every parameter that is looked at, and no other', () => {
  const read = new Set<string>();
  const given = new Proxy<Record<string, unknown>>(
    {},
    { get: (_, name) => void read.add(String(name)), has: (_, name) => read.add(String(name)) && false },
  );
  parseSampling(given);
  expect([...DOCUMENTED].sort()).toEqual([...read].sort());
});

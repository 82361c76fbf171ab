// Tries to let docs/errors.md say something else than the table that the code throws from.
import { expect, it } from 'vitest';
import { ERROR_TABLE } from '../../src/domain/errors.ts';
import { errorsDocument } from '../support/errors-document.ts';

it('docs/errors.md is what the table says (npx vitest run test/project/errors-doc.test.ts -u)', async () => {
  await expect(errorsDocument()).toMatchFileSnapshot('../../docs/errors.md');
});

it('the table is ordered by status, and a retry is only promised where the request may succeed unchanged', () => {
  const statuses = Object.values(ERROR_TABLE).map(({ status }) => status ?? 1000);
  expect(statuses).toEqual([...statuses].sort((a, b) => a - b));
  for (const [code, { status, retry }] of Object.entries(ERROR_TABLE)) {
    // What a user has stored does not become less by asking again.
    const isPassing = status !== undefined && [408, 429, 502, 503, 504].includes(status) && code !== 'quota_exceeded';
    expect(retry, code).toBe(isPassing);
  }
});

// Tries to load more than there is: one model too many, and one that gave back what it did not use.
import { expect, test } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { MemoryBudget } from '../../../src/edge-node/models/memory-budget.ts';

test('what one model takes is not there for the next, until it is given back', () => {
  const budget = new MemoryBudget(1_000);
  const giveBack = budget.take('a.gguf', 600);
  expect(() => budget.take('b.gguf', 401)).toThrow(
    new DiscedgeError(
      'model_unusable',
      'model b.gguf does not fit in memory: it needs 401 bytes and 400 bytes are left; use a smaller model, fewer context tokens or fewer parallel turns',
    ),
  );
  budget.take('c.gguf', 400);
  expect(() => budget.take('d.gguf', 1)).toThrow(/0 bytes are left/);
  giveBack();
  budget.take('b.gguf', 401);
});

test('a machine that has less than the node keeps for itself has nothing left', () => {
  expect(() => new MemoryBudget(-5).take('a.gguf', 1)).toThrow(/1 bytes and 0 bytes are left/);
});

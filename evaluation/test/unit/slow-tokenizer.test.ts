/** A tokenizer that is held up: ids that differ, time that is too short, and texts that are tokenized side by side. */

import { startScripted } from 'discedge/internal/llm-service/scripted';
import { expect, it } from 'vitest';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { withSlowTokenizer } from '../../src/nodes/slow-tokenizer.ts';

const PLAIN = { parseSpecial: false };

it('gives the same ids, each text in its time, one after the other', async () => {
  const environment = virtualEnvironment();
  const fast = startScripted({ modelName: 'scripted', contextTokens: 1_000 }, environment);
  const slow = withSlowTokenizer(fast, 100, environment.clock);
  const texts = ['four words make these', 'and some more of them'];
  const wanted = await Promise.all(texts.map((text) => fast.tokenize(text, PLAIN)));
  const doneMs: number[] = [];
  const startMs = environment.clock.monotonic();
  const both = texts.map(async (text) => {
    const ids = await slow.tokenize(text, PLAIN);
    doneMs.push(environment.clock.monotonic() - startMs);
    return ids;
  });
  await environment.advance(10_000);
  expect(await Promise.all(both)).toEqual(wanted);
  const [first = 0, second = 0] = wanted.map(({ length }) => length * 10);
  expect(first).toBeGreaterThan(0);
  expect(doneMs).toEqual([first, first + second]);

  // Idle time is not saved up.
  const third = slow.tokenize(texts[0] as string, PLAIN);
  let isDone = false;
  void third.then(() => {
    isDone = true;
  });
  await environment.advance(first - 1);
  expect(isDone).toBe(false);
  await environment.advance(1);
  expect(await third).toEqual(wanted[0]);
});

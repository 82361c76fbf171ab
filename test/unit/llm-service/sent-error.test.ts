// What an error loses on its way out of an engine process: nothing that anyone acts on or reads in the log.
import { expect, test } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { receivedError, sentError } from '../../../src/llm-service/engine-process/sent-error.ts';

const arrived = (error: unknown) => receivedError(structuredClone(sentError(error)));

test('an error arrives with every field, its stack and its cause', () => {
  const error = new DiscedgeError('context_overflow', 'too long', {
    param: 'prompt',
    retryAfterMs: 5,
    overflow: { promptTokens: 9, windowTokens: 8 },
    cause: new RangeError('native'),
  });
  const received = arrived(error);
  expect(received).toBeInstanceOf(DiscedgeError);
  expect({ ...received }).toEqual({ ...error });
  expect(received.stack).toBe(error.stack);
  expect(received.message).toBe(error.message);
  expect(received.cause).toMatchObject({ name: 'RangeError', message: 'native' });
});

test('a foreign error stays foreign, a thrown text becomes one, and a chain without end is cut', () => {
  expect(arrived(new TypeError('no'))).not.toBeInstanceOf(DiscedgeError);
  expect(arrived('no')).toMatchObject({ message: 'no' });
  const endless = new Error('again');
  endless.cause = endless;
  let depth = 0;
  for (let error: unknown = arrived(endless); error instanceof Error; error = error.cause) depth++;
  expect(depth).toBe(5);
});

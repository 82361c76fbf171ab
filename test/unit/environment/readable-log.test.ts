/** Log lines at a terminal: what they say, and fields that try to take the terminal over. */
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { readableLogLine } from '../../../src/environment/readable-log.ts';

/** Not a terminal, so that there is no colour. */
const PLAIN = new PassThrough() as unknown as NodeJS.WriteStream;
const AT = new Date(2026, 10, 28, 19, 3, 12).getTime();
const line = (fields: object) => readableLogLine(JSON.stringify({ level: 40, time: AT, node: 'e1', ...fields }), PLAIN);

it('has time, level, event and fields, and not the node, which the banner has named', () => {
  expect(line({ event: 'peer_silent', peer: 'e2', waited_ms: 1200, reason: 'no answer' })).toBe(
    '19:03:12 warn  peer_silent peer=e2 waited_ms=1200 reason="no answer"\n',
  );
});

it('has an error below, with its cause and where it was thrown', () => {
  const error = {
    name: 'DiscedgeError',
    code: 'store_failed',
    message: 'the disk is full',
    cause: 'ENOSPC',
    stack: 'DiscedgeError: the disk is full\n    at append (store.ts:1:2)\n    at turn (turn.ts:3:4)',
  };
  expect(line({ event: 'append_failed', error })).toBe(
    [
      '19:03:12 warn  append_failed',
      '    DiscedgeError store_failed: the disk is full',
      '    because: ENOSPC',
      '    at append (store.ts:1:2)',
      '    at turn (turn.ts:3:4)',
      '',
    ].join('\n'),
  );
});

it('lets nothing from elsewhere move the cursor', () => {
  const text = line({ event: 'x', reason: '\u001b[2J\u009b2J', error: { message: 'a\u001b]0;title\u0007\rb' } });
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
});

// Dates in templates. Tries the directives and the corners where hours and padding go wrong; the expectations are what
// Python's strftime prints.
import { expect, test } from 'vitest';
import { strftime } from '../../../src/llm-service/chat-template/strftime.ts';

const MIDNIGHT = Date.UTC(2026, 1, 3, 0, 5, 9);
const NOON = Date.UTC(2026, 11, 31, 12, 30, 0);

test.each([
  [MIDNIGHT, '%d %b %Y', '03 Feb 2026'],
  [MIDNIGHT, '%A, %B %-d, %y', 'Tuesday, February 3, 26'],
  [MIDNIGHT, '%Y-%m-%dT%H:%M:%S', '2026-02-03T00:05:09'],
  [MIDNIGHT, '%I:%M %p', '12:05 AM'],
  [NOON, '%I:%M %p %a', '12:30 PM Thu'],
  [NOON, '%-m/%-d', '12/31'],
  [NOON, '100%% of %Q', '100% of %Q'],
  [NOON, '', ''],
])('%i as "%s" is "%s"', (timeMs, format, expected) => {
  expect(strftime(timeMs, format)).toBe(expected);
});

// Tries to pass another machine off as this one: then something would be open to a network without certificates.
import { expect, test } from 'vitest';
import { isLoopbackHost } from '../../src/domain/loopback.ts';

test.each(['localhost', '127.0.0.1', '127.255.0.9', '::1', '[::1]'])('%s is this machine', (host) => {
  expect(isLoopbackHost(host)).toBe(true);
});

test.each([
  '0.0.0.0',
  '::',
  '10.0.0.1',
  '127.0.0.1.example.org',
  '127.example.org',
  '127.0.0.256',
  '127.0.1',
  'localhost.example.org',
  'my-localhost',
  '[::1].example.org',
  '::1%eth0',
  '',
])('"%s" may be another one', (host) => {
  expect(isLoopbackHost(host)).toBe(false);
});

// A start that waits for a llama-server: it must take the server when it comes, give up when the time is over, and wait for nothing
// but a server that may come.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { onceAvailable } from '../../../src/edge-node/models/once-available.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';

const WAIT_MS = 60_000;

let environment: VirtualEnvironment;
beforeEach(() => {
  environment = virtualEnvironment();
});
afterEach(() => {
  expect(environment.pendingTimers).toBe(0);
});

function failing(code: 'llm_unavailable' | 'llm_bad_reply', attemptsUntilUp = Number.POSITIVE_INFINITY) {
  const state = { attempts: 0 };
  const connect = async () => {
    if (++state.attempts < attemptsUntilUp) throw new DiscedgeError(code, 'not there');
    return 'connected';
  };
  return { state, connect };
}

const waits = () => environment.logLines.filter(({ event }) => event === 'llm.start_waits');

test('a server that comes later is taken, and the wait is told once', async () => {
  const { state, connect } = failing('llm_unavailable', 4);
  const connected = onceAvailable(connect, { waitMs: WAIT_MS, signal: undefined }, environment);
  await environment.advance(WAIT_MS / 2);
  expect(await connected).toBe('connected');
  expect(state.attempts).toBe(4);
  expect(waits()).toHaveLength(1);
});

test('a server that does not come ends the start when the time is over, with one try at its end', async () => {
  const { state, connect } = failing('llm_unavailable');
  const connected = onceAvailable(connect, { waitMs: WAIT_MS, signal: undefined }, environment);
  connected.catch(() => undefined);
  await environment.advance(WAIT_MS - 1);
  const before = state.attempts;
  await environment.advance(1);
  await expect(connected).rejects.toMatchObject({ code: 'llm_unavailable' });
  expect(state.attempts).toBe(before + 1);
});

test.each([
  ['of a node that does not wait', 'llm_unavailable', 0],
  ['before something that is no llama-server', 'llm_bad_reply', WAIT_MS],
] as const)('the start %s fails at once', async (_, code, waitMs) => {
  const { state, connect } = failing(code);
  await expect(onceAvailable(connect, { waitMs, signal: undefined }, environment)).rejects.toMatchObject({ code });
  expect(state.attempts).toBe(1);
  expect(waits()).toEqual([]);
});

test('a start that is given up waits no longer', async () => {
  const { connect } = failing('llm_unavailable');
  const stop = new AbortController();
  const connected = onceAvailable(connect, { waitMs: WAIT_MS, signal: stop.signal }, environment);
  connected.catch(() => undefined);
  await environment.advance(1);
  stop.abort(new Error('stopped'));
  await expect(connected).rejects.toThrow('stopped');
});

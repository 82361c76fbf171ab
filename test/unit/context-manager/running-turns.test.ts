// Tries to keep a stopping node waiting for ever: with a turn that does not heed that it was stopped.
import { expect, test } from 'vitest';
import { RunningTurns, STOPPED_TURN_MS } from '../../../src/context-manager/turn/running-turns.ts';
import type { SessionKeyText } from '../../../src/domain/identifiers.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

test('a turn that goes on when stopped is not waited for beyond its time', async () => {
  const environment = virtualEnvironment();
  const turns = new RunningTurns(environment.clock, { turnsInFlightMax: 2, finishAbandonedMs: 1 });
  let stopped = false;
  void turns.run('s' as SessionKeyText, { gone: new AbortController().signal }, ({ stopping }) => {
    stopping.signal.addEventListener('abort', () => {
      stopped = true;
    });
    return new Promise(() => {});
  });
  let drained = false;
  const draining = turns.drain(1_000).then(() => {
    drained = true;
  });
  await environment.advance(999);
  expect(stopped).toBe(false);
  await environment.advance(STOPPED_TURN_MS);
  expect({ stopped, drained }).toEqual({ stopped: true, drained: false });
  await environment.advance(1);
  await draining;
  expect(environment.pendingTimers).toBe(0);
});

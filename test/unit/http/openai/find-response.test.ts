// A response that another node works on, whose node goes away, answers late, or has stored it in the moment between two looks:
// tries to have it waited for without end, and taken for one that never was.
import { expect, it } from 'vitest';
import { DiscedgeError } from '../../../../src/domain/errors.ts';
import { ResponseFinder } from '../../../../src/http/dialects/openai/responses/find-response.ts';
import type { ResponseRef } from '../../../../src/http/dialects/openai/responses/response-ref.ts';
import type { ResponseState } from '../../../../src/http/dialects/openai/responses/response-view.ts';
import { virtualEnvironment } from '../../../../tools/virtual-environment.ts';

const ref = { answerId: '00'.repeat(8) } as ResponseRef;
const stateAs = (status: ResponseState['status']) => ({ id: 'resp_a', status }) as ResponseState;
const stale = new DiscedgeError('context_stale', 'not here yet');
const missing = new DiscedgeError('session_not_found', 'none');
const running = { find: () => undefined, endedWithout: () => undefined };

function findingIn(looks: readonly (ResponseState | Error)[], told: readonly (ResponseState | undefined)[]) {
  const environment = virtualEnvironment();
  let [looked, asked] = [0, 0];
  const stored = {
    async find() {
      const found = looks[Math.min(looked++, looks.length - 1)];
      if (found instanceof Error) throw found;
      return { state: found };
    },
  };
  const parts = {
    running,
    stored,
    told: { ask: async () => told[Math.min(asked++, told.length - 1)] },
  };
  const finder = new ResponseFinder(parts as never, { node: { environment } } as never);
  return { finder, advance: environment.advance, asked: () => asked };
}
const signal = new AbortController().signal;

it('ends, soon, when nobody tells of it any more and its record does not come', async () => {
  const { finder, advance, asked } = findingIn([stale], [stateAs('in_progress'), undefined]);
  const ended = finder.ended(ref, signal).catch((error) => error);
  await advance(10_000);
  expect(await ended).toMatchObject({ code: 'context_stale', message: expect.stringContaining('does not answer') });
  expect(asked()).toBe(4);
});

it('is waited for as long as a node says that it works on it, whatever one question came to', async () => {
  const under = stateAs('in_progress');
  const { finder, advance } = findingIn(
    [...Array(8).fill(stale), stateAs('completed')],
    [undefined, under, undefined, undefined, under],
  );
  const ended = finder.ended(ref, signal);
  await advance(10_000);
  expect(await ended).toMatchObject({ kind: 'stored', state: { status: 'completed' } });
});

it('ends as its node says that it has ended, and with its client', async () => {
  const failed = findingIn([missing], [stateAs('queued'), stateAs('failed')]);
  const ended = failed.finder.ended(ref, signal);
  await failed.advance(10_000);
  expect(await ended).toMatchObject({ kind: 'ended', state: { status: 'failed' } });
  const left = findingIn([stale], [stateAs('in_progress')]);
  const gone = new AbortController();
  const waiting = left.finder.ended(ref, gone.signal).catch((error) => error);
  gone.abort(new Error('left'));
  await left.advance(10_000);
  expect(await waiting).toEqual(new Error('left'));
});

it('is found stored where it was stored while it was asked for, and is none where nobody knows of it', async () => {
  const between = findingIn([stale, stateAs('completed')], [undefined]);
  expect(await between.finder.locate(ref, signal)).toMatchObject({ kind: 'stored' });
  const none = findingIn([missing], [undefined]);
  await expect(none.finder.locate(ref, signal)).rejects.toMatchObject({ code: 'response_not_found' });
  const first = findingIn([missing], [stateAs('in_progress')]);
  expect(await first.finder.locate(ref, signal)).toMatchObject({ kind: 'elsewhere' });
});

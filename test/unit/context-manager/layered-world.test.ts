// Conversations of two users that roam, branch, are forked, drafted, sent again and left out of a small window under all policies, at two
// nodes whose regions change and that restart, under preferences that change between turns and while one is answered. A model of its
// own says what each prompt has to be. Tries to find one that is not exactly layers and conversation, with anything of another user or
// region in it, one that leaves no room, and a reply that tells something else than what was read and what it cost.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OPTIONAL_LAYERS, type OptionalLayer } from '../../../src/domain/record/layers-left-out.ts';
import { OVERFLOW_POLICIES } from '../../../src/domain/session/context-window.ts';
import { type Place, type TurnAct, USERS } from '../../support/layered-world/told.ts';
import { LayeredWorld } from '../../support/layered-world/world.ts';

const numRuns = Number(process.env.DISCEDGE_TEST_LAYERED_RUNS ?? 25);
const seed = Number(process.env.DISCEDGE_TEST_SEED ?? 1);
const MODES = { ada: ['tokenized', 'raw'], bob: ['tokenized'] } as const;

const at = fc.constantFrom<Place>(0, 1);
const user = fc.constantFrom(...USERS);
const rarely = <T>(usual: fc.Arbitrary<T>, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 5, arbitrary: usual }, { weight: 1, arbitrary: other });
const size = rarely(fc.integer({ min: 100, max: 700 }), fc.nat({ max: 2800 }));
const turn: fc.Arbitrary<TurnAct> = fc.record({
  at,
  user,
  session: fc.nat({ max: 2 }),
  back: rarely(fc.constant(0), fc.nat({ max: 4 })),
  text: fc
    .tuple(fc.constantFrom('Whiskers likes tuna', 'the boat is blue', 'Turin in May'), size)
    .map(([subject, length]) => `${subject} ${'x'.repeat(length)}`),
  overflow: fc.constantFrom(...OVERFLOW_POLICIES),
  without: rarely<readonly OptionalLayer[]>(fc.constant([]), fc.subarray([...OPTIONAL_LAYERS])),
});
const layer = (name: string) =>
  fc
    .tuple(fc.nat(), rarely(fc.nat({ max: 40 }), fc.nat({ max: 1800 })))
    .map(([version, length]) => `${name} ${version} ${'y'.repeat(length)}.`);

const act = fc.oneof(
  { weight: 12, arbitrary: fc.record({ does: fc.constant('turn' as const), turn }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('draft' as const), turn }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('again' as const), turn }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('fork' as const), turn }) },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant('prefer' as const),
      ...{ at, user, text: fc.option(layer('PREFERENCES'), { nil: undefined, freq: 4 }) },
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('meanwhile' as const), turn, text: layer('PREFERENCES') }) },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant('region' as const),
      ...{ at, text: fc.option(layer('REGION'), { nil: undefined, freq: 4 }) },
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('restart' as const), at }) },
);
type Act = typeof act extends fc.Arbitrary<infer Value> ? Value : never;

async function play(world: LayeredWorld, act: Act): Promise<void> {
  switch (act.does) {
    case 'turn':
      return world.turn(act.turn);
    case 'draft':
      return world.draft(act.turn);
    case 'again':
      return world.again(act.turn);
    case 'fork':
      return world.fork(act.turn);
    case 'prefer':
      return world.prefer(act.at, act.user, act.text && `${act.text} of ${act.user}`);
    case 'meanwhile':
      return world.preferMeanwhile(act.turn, `${act.text} of ${act.turn.user}`);
    case 'region':
      return world.region(act.at, act.text && `${act.text} of ${act.at}`);
    case 'restart':
      return world.restart(act.at);
    default:
      return act satisfies never;
  }
}

test('a prompt is layers and conversation and nothing else, and its reply tells what it was', async () => {
  const events = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 20, maxLength: 60 }), async (acts) => {
      const world = await LayeredWorld.create(MODES);
      for (const one of acts) await play(world, one);
      for (const [event, count] of world.events) events.set(event, (events.get(event) ?? 0) + count);
    }),
    { numRuns, seed },
  );
  // Nothing of it goes untried.
  const tried = ['draft', 'replay', 'fork', 'branch', 'region', 'preferences', 'preferences meanwhile', 'restart'];
  for (const event of [...tried, 'refused', 'left out', 'summary now', 'brought back', 'prefix kept'])
    expect(events.get(event) ?? 0, event).toBeGreaterThan(0);
}, 600_000);

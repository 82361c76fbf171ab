// Fills a node: a principal with all the turns it takes, a service with many users, turns that are worked on beside such as only wait.
// Whoever has less than others must be let in all the same, for the newest turn that waits of who has most; nobody else is, and no turn
// that is worked on ever gives way. Random crowds are held against a model that sorts all there is anew each time.
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { RunningTurn } from '../../../src/context-manager/turn/running-turn.ts';
import { RunningTurns } from '../../../src/context-manager/turn/running-turns.ts';
import type { DiscedgeError } from '../../../src/domain/errors.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';
import { abortable } from '../../../src/waiting/abortable.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

interface Turn {
  readonly name: string;
  readonly principal: string;
  readonly user: string;
  isWorkedOn: boolean;
  running: RunningTurn | undefined;
  end: () => void;
  /** The code of what it failed with. */
  failed: string | undefined;
}

/** A node's turns, each of which goes on until it is ended or stopped. */
class Crowd {
  readonly inFlight: Turn[] = [];
  readonly turns: RunningTurns;
  gaveWay = 0;

  constructor(turnsInFlightMax: number) {
    this.turns = new RunningTurns(virtualEnvironment().clock, { turnsInFlightMax, finishAbandonedMs: 1 });
    this.turns.onGaveWay(() => this.gaveWay++);
  }

  /** `name`: principal, user where it matters, and which turn: `shop/ada 1`. */
  async comes(name: string): Promise<Turn> {
    const [principal = '', user = ''] = (name.split(' ')[0] as string).split('/');
    const turn: Turn = {
      name,
      principal,
      user,
      ...{ isWorkedOn: false, running: undefined, failed: undefined },
      end() {},
    };
    this.inFlight.push(turn);
    const owner = { gone: new AbortController().signal, principal, userId: user as UserId };
    const done = this.turns.run(undefined, owner, (running) => {
      turn.running = running;
      const ended = new Promise<void>((resolve) => {
        turn.end = resolve;
      });
      return abortable(ended, running.stopping.signal);
    });
    done
      .catch((error: unknown) => {
        turn.failed = (error as DiscedgeError).code;
      })
      .finally(() => this.inFlight.splice(this.inFlight.indexOf(turn), 1));
    await settled();
    return turn;
  }

  async crowd(name: string, count: number): Promise<Turn[]> {
    const all: Turn[] = [];
    for (let at = 0; at < count; at++) all.push(await this.comes(`${name} ${at}`));
    return all;
  }

  work(turn: Turn): void {
    turn.isWorkedOn = true;
    turn.running?.startWork();
  }

  async ends(turn: Turn): Promise<void> {
    turn.end();
    await settled();
  }
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

const failures = (turns: readonly Turn[]) => turns.map(({ failed }) => failed);

describe('a node of eight turns', () => {
  let crowd: Crowd;
  beforeEach(() => {
    crowd = new Crowd(8);
  });

  it('lets one principal have six, and refuses the next', async () => {
    expect(failures(await crowd.crowd('flood', 7))).toEqual([...Array(6).fill(undefined), 'overloaded']);
  });

  it('lets another in for the newest that waits of the one with most', async () => {
    const flood = await crowd.crowd('flood', 6);
    const [ada, bob] = [await crowd.comes('ada 1'), await crowd.comes('bob 1')];
    expect(failures(flood)).toEqual([...Array(4).fill(undefined), 'overloaded', 'overloaded']);
    expect(failures([ada, bob])).toEqual([undefined, undefined]);
    expect(crowd.gaveWay).toBe(2);
    expect(crowd.turns.size).toBe(6);
  });

  it('says when to come again to a turn that gave way', async () => {
    await crowd.crowd('flood', 5);
    const owner = { gone: new AbortController().signal, principal: 'flood', userId: '' as UserId };
    const last = crowd.turns.run(undefined, owner, ({ stopping }) => abortable(new Promise(() => {}), stopping.signal));
    void crowd.comes('ada 1');
    await expect(last).rejects.toMatchObject({ code: 'overloaded', status: 503, retryAfterMs: 1_000 });
  });

  it('lets others in beside turns that are worked on, which give way to nobody, up to eight', async () => {
    const flood = await crowd.crowd('flood', 6);
    for (const turn of flood) crowd.work(turn);
    const others = [await crowd.comes('ada 1'), await crowd.comes('bob 1')];
    for (const turn of others) crowd.work(turn);
    expect(failures([...flood, ...others])).toEqual(Array(8).fill(undefined));
    expect((await crowd.comes('eve 1')).failed).toBe('overloaded');
    expect(crowd.gaveWay).toBe(0);
  });

  it('takes from those with most until all have as much, and no further', async () => {
    await crowd.crowd('flood', 6);
    expect(failures(await crowd.crowd('ada', 4))).toEqual([undefined, undefined, undefined, 'overloaded']);
    expect(crowd.inFlight.map(({ principal }) => principal).toSorted()).toEqual([
      ...['ada', 'ada', 'ada', 'flood', 'flood', 'flood'],
    ]);
  });

  it('shares what one principal has among the users that it acts for', async () => {
    const [first, ...rest] = await crowd.crowd('shop/x', 6);
    const y = await crowd.crowd('shop/y', 4);
    expect(failures(y)).toEqual([undefined, undefined, undefined, 'overloaded']);
    expect(failures([first as Turn, ...rest])).toEqual([...Array(3).fill(undefined), ...Array(3).fill('overloaded')]);
    // All of them together are one, however many.
    const ada = await crowd.crowd('ada', 3);
    expect(failures(ada)).toEqual(Array(3).fill(undefined));
    expect((await crowd.comes('shop/z 1')).failed).toBeUndefined();
    expect(crowd.inFlight.filter(({ principal }) => principal === 'shop')).toHaveLength(3);
  });

  it('refuses as early as it can be known', async () => {
    await crowd.crowd('shop/x', 6);
    const refusal = (principal: string, userId: string | undefined) => {
      try {
        crowd.turns.requireRoom({ principal, userId: userId as UserId | undefined });
        return undefined;
      } catch (error) {
        return (error as DiscedgeError).code;
      }
    };
    expect(refusal('shop', 'x')).toBe('overloaded');
    // Of whichever user it may be: of one who has none it would be taken.
    expect(refusal('shop', undefined)).toBeUndefined();
    expect(refusal('ada', 'ada')).toBeUndefined();
    expect(crowd.gaveWay).toBe(0);
  });
});

const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('comes' as const),
        whose: fc.constantFrom('a', 'b', 'c'),
        user: fc.constantFrom('x', 'y'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('is worked on' as const), which: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('ends' as const), which: fc.nat(20) }) },
  ),
  { maxLength: 80 },
);

/** What becomes of one more turn: refused, or let in, for which other. */
function expected(
  all: readonly Turn[],
  next: Pick<Turn, 'principal' | 'user'>,
  max: number,
): { refused: boolean; for?: Turn | undefined } {
  if (all.length < max - Math.floor(max / 4)) return { refused: false };
  const ofPrincipal = ({ principal }: Pick<Turn, 'principal'>) =>
    all.filter((one) => one.principal === principal).length;
  const ofUser = (turn: Pick<Turn, 'principal' | 'user'>) =>
    all.filter(({ principal, user }) => principal === turn.principal && user === turn.user).length;
  const hasMore = (one: Turn) =>
    one.principal === next.principal ? ofUser(one) > ofUser(next) + 1 : ofPrincipal(one) > ofPrincipal(next) + 1;
  const withMore = all.filter(hasMore);
  if (withMore.length === 0) return { refused: true };
  const rank = (one: Turn) => [one.principal === next.principal ? 0 : ofPrincipal(one), ofUser(one), all.indexOf(one)];
  const waiting = withMore.filter(({ isWorkedOn }) => !isWorkedOn);
  const [first] = waiting.toSorted((a, b) => {
    const [x, y] = [rank(a), rank(b)] as [number[], number[]];
    const differs = x.findIndex((value, at) => value !== y[at]);
    return (y[differs] as number) - (x[differs] as number);
  });
  return { refused: first === undefined && all.length === max, for: first };
}

it('any crowd is let in as the model lets it in, and never more than the node takes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 12 }), steps, async (max, all) => {
      const crowd = new Crowd(max);
      for (const [at, step] of all.entries()) {
        if (step.kind === 'comes') {
          const before = [...crowd.inFlight];
          const told = expected(before, { principal: step.whose, user: step.user }, max);
          const turn = await crowd.comes(`${step.whose}/${step.user} ${at}`);
          expect(turn.failed).toBe(told.refused ? 'overloaded' : undefined);
          const kept = before.filter((one) => one !== told.for);
          expect(crowd.inFlight).toEqual(told.refused ? kept : [...kept, turn]);
          continue;
        }
        const turn = crowd.inFlight[step.which % Math.max(1, crowd.inFlight.length)];
        if (turn === undefined) continue;
        if (step.kind === 'ends') await crowd.ends(turn);
        else crowd.work(turn);
        expect(crowd.inFlight.length).toBeLessThanOrEqual(max);
      }
      for (const turn of [...crowd.inFlight]) await crowd.ends(turn);
      expect(crowd.turns.size).toBe(0);
      expect(crowd.turns.requireRoom({ principal: 'a', userId: undefined })).toBeUndefined();
    }),
    { numRuns: 300 },
  );
});

// Crowds the places at the LLM Service: one principal with many turns, a service with many users, turns that never end and such as give
// up while they wait. Whoever comes beside them must be served as if each of them had one turn. Random crowds are held against a
// model that keeps a log of all that has happened and looks through it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairPlaces } from '../../../src/context-manager/turn/fair-places.ts';
import type { Share } from '../../../src/context-manager/turn/share.ts';
import type { UserId } from '../../../src/domain/identifiers.ts';

interface Turn extends Share {
  readonly name: string;
}

/** Turns at some places: which have one, in the order in which they got it, and which wait. */
class Crowd {
  readonly running: Turn[] = [];
  readonly waiting: Turn[] = [];
  /** All that ever had a place. */
  readonly served: string[] = [];
  readonly #places: FairPlaces;
  readonly #aborts = new Map<Turn, AbortController>();

  constructor(places: number) {
    this.#places = new FairPlaces(places);
  }

  /** `name`: principal, user where it matters, and which turn: `shop/ada 1`. */
  comes(name: string): Turn {
    const [whose = '', user = ''] = (name.split(' ')[0] as string).split('/');
    const turn: Turn = { name, principal: whose, userId: user as UserId };
    const abort = new AbortController();
    this.#aborts.set(turn, abort);
    const entering = this.#places.enter(turn, abort.signal);
    if (entering === undefined) this.#begins(turn);
    else {
      this.waiting.push(turn);
      void entering.then(
        () => this.#begins(turn),
        () => this.#isGone(turn),
      );
    }
    return turn;
  }

  async ends(turn = this.running[0] as Turn): Promise<void> {
    this.running.splice(this.running.indexOf(turn), 1);
    this.#places.leave(turn);
    await settled();
  }

  async givesUp(turn: Turn): Promise<void> {
    this.#aborts.get(turn)?.abort(new Error('given up'));
    await settled();
  }

  #begins(turn: Turn): void {
    this.#isGone(turn);
    this.running.push(turn);
    this.served.push(turn.name);
  }

  #isGone(turn: Turn): void {
    if (this.waiting.includes(turn)) this.waiting.splice(this.waiting.indexOf(turn), 1);
  }
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

async function servedOf(crowd: Crowd): Promise<readonly string[]> {
  while (crowd.running.length > 0) await crowd.ends();
  return crowd.served;
}

describe('places', () => {
  it('are had at once while there are enough, however many there are', () => {
    const crowd = new Crowd(Number.POSITIVE_INFINITY);
    for (let i = 0; i < 1_000; i++) crowd.comes(`flood ${i}`);
    expect(crowd.waiting).toEqual([]);
  });

  it('go round among principals, and to the turns of one in the order in which they came', async () => {
    const crowd = new Crowd(1);
    for (const name of ['flood 1', 'flood 2', 'flood 3', 'flood 4', 'bob 1', 'bob 2', 'ada 1']) crowd.comes(name);
    expect(await servedOf(crowd)).toEqual(['flood 1', 'bob 1', 'ada 1', 'flood 2', 'bob 2', 'flood 3', 'flood 4']);
  });

  it('go round among the users of one principal, who together have one share', async () => {
    const crowd = new Crowd(1);
    for (const name of ['shop/x 1', 'shop/x 2', 'shop/x 3', 'shop/y 1', 'shop/z 1', 'ada 1', 'ada 2', 'ada 3'])
      crowd.comes(name);
    expect(await servedOf(crowd)).toEqual([
      ...['shop/x 1', 'ada 1', 'shop/y 1', 'ada 2', 'shop/z 1', 'ada 3', 'shop/x 2', 'shop/x 3'],
    ]);
  });

  it('go next to one who comes again and again beside a crowd', async () => {
    const crowd = new Crowd(2);
    for (let i = 0; i < 20; i++) crowd.comes(`flood ${i}`);
    for (let i = 0; i < 5; i++) {
      const turn = crowd.comes(`ada ${i}`);
      await crowd.ends(crowd.running.find(({ principal }) => principal === 'flood'));
      expect(crowd.running).toContain(turn);
      await crowd.ends(turn);
    }
  });

  it('are not held on to by turns that take long', async () => {
    const crowd = new Crowd(2);
    for (let i = 0; i < 6; i++) crowd.comes(`slow ${i}`);
    for (let i = 0; i < 6; i++) crowd.comes(`ada ${i}`);
    await crowd.ends();
    for (let i = 0; i < 5; i++) {
      expect(crowd.running.map(({ name }) => name)).toEqual(['slow 1', `ada ${i}`]);
      await crowd.ends(crowd.running[1]);
    }
  });

  it('are not waited for by those who give up, and not lost with them', async () => {
    const crowd = new Crowd(1);
    const [, left, leaves] = ['a 1', 'b 1', 'c 1', 'd 1'].map((name) => crowd.comes(name)) as [Turn, Turn, Turn, Turn];
    await crowd.givesUp(left);
    await crowd.ends();
    expect(crowd.running).toEqual([leaves]);
    await crowd.givesUp(leaves);
    expect(crowd.running).toEqual([leaves]);
    expect(await servedOf(crowd)).toEqual(['a 1', 'c 1', 'd 1']);
  });

  it('are nobody’s who came too late to wait', async () => {
    const places = new FairPlaces(1);
    const share = { principal: 'a', userId: undefined };
    expect(places.enter(share, new AbortController().signal)).toBeUndefined();
    const late = AbortSignal.abort(new Error('too late'));
    await expect(places.enter({ ...share }, late)).rejects.toThrow('too late');
    places.leave(share);
    expect(places.enter({ ...share }, new AbortController().signal)).toBeUndefined();
  });
});

type Event = { readonly what: 'joins' | 'gets' | 'leaves'; readonly turn: Turn };

/** Everything that has happened, and what follows from it. */
class Model {
  readonly log: Event[] = [];
  readonly running: Turn[] = [];
  readonly waiting: Turn[] = [];
  readonly #places: number;

  constructor(places: number) {
    this.#places = places;
  }

  comes(turn: Turn): void {
    if (this.running.length < this.#places) this.#gets(turn);
    else {
      this.log.push({ what: 'joins', turn });
      this.waiting.push(turn);
    }
  }

  ends(turn: Turn): void {
    this.running.splice(this.running.indexOf(turn), 1);
    this.log.push({ what: 'leaves', turn });
    const [next] = this.waiting.toSorted((a, b) => this.#before(a, b));
    if (next === undefined) return;
    this.givesUp(next);
    this.#gets(next);
  }

  givesUp(turn: Turn): void {
    this.waiting.splice(this.waiting.indexOf(turn), 1);
  }

  #gets(turn: Turn): void {
    this.running.push(turn);
    this.log.push({ what: 'gets', turn });
  }

  /** Fewest places, then longest without: of principals, then of users; then who came first. */
  #before(a: Turn, b: Turn): number {
    for (const same of [samePrincipal, sameUser]) {
      const has = (turn: Turn) => this.running.filter((one) => same(one, turn)).length;
      const order = has(a) - has(b) || this.#without(a, same) - this.#without(b, same);
      if (order !== 0) return order;
    }
    return this.waiting.indexOf(a) - this.waiting.indexOf(b);
  }

  /** When it last had a place or, if that was before, when the first of its turns that wait now without a break began to. */
  #without(turn: Turn, same: (a: Turn, b: Turn) => boolean): number {
    const had = this.log.findLastIndex((event) => event.what !== 'joins' && same(event.turn, turn));
    const waits = this.waitsSince.get(keyOf(turn, same)) ?? -1;
    return Math.max(had, waits);
  }

  /** By principal, and by principal and user: where in the log the wait of any of its turns began that has not stopped since. */
  readonly waitsSince = new Map<string, number>();

  /** To be called after each step. */
  noteWaits(): void {
    for (const same of [samePrincipal, sameUser]) {
      const waiting = new Set(this.waiting.map((turn) => keyOf(turn, same)));
      for (const key of waiting) if (!this.waitsSince.has(key)) this.waitsSince.set(key, this.log.length - 1);
      for (const key of this.waitsSince.keys())
        if (!waiting.has(key) && key.includes('/') === (same === sameUser)) this.waitsSince.delete(key);
    }
  }
}

const samePrincipal = (a: Turn, b: Turn) => a.principal === b.principal;
const sameUser = (a: Turn, b: Turn) => samePrincipal(a, b) && a.userId === b.userId;
const keyOf = (turn: Turn, same: (a: Turn, b: Turn) => boolean) =>
  same === sameUser ? `${turn.principal}/${turn.userId}` : turn.principal;

const steps = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('comes' as const),
        whose: fc.constantFrom('a', 'b', 'c'),
        user: fc.constantFrom('x', 'y', 'z'),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('ends' as const), which: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('gives up' as const), which: fc.nat(9) }) },
  ),
  { maxLength: 150 },
);

it('any crowd has what the model gives it: no place is free while one waits, and nobody is passed over', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), steps, async (places, all) => {
      const crowd = new Crowd(places);
      const model = new Model(places);
      /** Of principals that wait without any place, who has been served since. */
      const passed = new Map<string, Set<string>>();
      for (const [at, step] of all.entries()) {
        const turns = step.kind === 'ends' ? crowd.running : crowd.waiting;
        const turn = step.kind === 'comes' ? undefined : turns[step.which % Math.max(1, turns.length)];
        const servedBefore = crowd.served.length;
        if (step.kind === 'comes') model.comes(crowd.comes(`${step.whose}/${step.user} ${at}`));
        else if (turn !== undefined && step.kind === 'ends') {
          model.ends(turn);
          await crowd.ends(turn);
        } else if (turn !== undefined) {
          model.givesUp(turn);
          await crowd.givesUp(turn);
        }
        model.noteWaits();
        expect(crowd.running).toEqual(model.running);
        expect(crowd.waiting).toEqual(model.waiting);
        if (crowd.waiting.length > 0) expect(crowd.running).toHaveLength(places);
        for (const name of crowd.served.slice(servedBefore)) {
          const [principal] = name.split('/') as [string];
          for (const since of passed.values()) {
            expect(since).not.toContain(principal);
            since.add(principal);
          }
        }
        const without = crowd.waiting.filter((one) => !crowd.running.some((other) => samePrincipal(one, other)));
        for (const { principal } of without) if (!passed.has(principal)) passed.set(principal, new Set());
        for (const principal of passed.keys())
          if (!without.some((one) => one.principal === principal)) passed.delete(principal);
      }
    }),
    { numRuns: 300 },
  );
});

// Random histories of drafts, turns, cancellations, deletions, expiry and eviction, each of which may come while others are held back at the
// LLM Service or at the store. Once all has ended and the time is over, the engine holds the state of those sessions that are in the
// store, and of no others; then nobody waits any more.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UNSTORED_KEPT_MS } from '../../../src/context-manager/sessions/session-states.ts';
import { memoryStore } from '../../../src/context-store/memory.ts';
import { type SessionId, sessionKeyText, type UserId } from '../../../src/domain/identifiers.ts';
import { sealedTurn, sessionKey } from '../../../tools/turn-records.ts';
import { contextManagerRig, type Rig, requestOf } from '../../support/context-manager-rig.ts';
import type { Hold } from '../../support/hold.ts';

const RUNS = Number(process.env.SESSION_STATES_RUNS ?? 60);
const ADA = 'ada' as UserId;
const SESSIONS = ['a', 'b', 'c'] as const;
const BYTES_MAX = 6_000;
const PLACES = ['prompt', 'end', 'append', 'appended', 'read', 'answer'] as const;

const session = fc.constantFrom(...SESSIONS);
/** Where it is held back, if anywhere. */
const at = fc.option(fc.constantFrom(...PLACES), { nil: undefined });
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('turn' as const), session, at, isNext: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('draft' as const, 'answer' as const), session, at }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('fails' as const), how: fc.constantFrom('midway', 'append') }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('cancel' as const, 'leave' as const), session }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), session }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('evict' as const, 'sweep' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      ms: fc.constantFrom(1, 61_000, 300_000, UNSTORED_KEPT_MS),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('release' as const), which: fc.nat(20) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class History {
  readonly #rig: Rig;
  readonly #holds: Hold[] = [];
  readonly #calls: Promise<unknown>[] = [];
  readonly #leavers = new Map<string, AbortController>();
  /** Turns that were asked for, of each session. */
  readonly #turns = new Map<string, number>();
  /** Sessions of which records were removed once: what is stored of them later may be without state. */
  readonly removed = new Set<string>();
  #fillers = 0;

  constructor(rig: Rig) {
    this.#rig = rig;
    rig.store.onRemoved(({ sessionId }) => this.removed.add(sessionId));
  }

  async do(step: Step): Promise<void> {
    const { manager, llm, store, node, environment } = this.#rig;
    switch (step.kind) {
      case 'turn': {
        this.#hold(step.at);
        const turn = (this.#turns.get(step.session) ?? 0) + (step.isNext ? 1 : 0);
        this.#turns.set(step.session, Math.max(turn, 1));
        const { signal: gone } = this.#leaver(step.session);
        const ask = { session: step.session, turn: Math.max(turn, 1), ttlSeconds: 120, maxWaitMs: 0, gone };
        this.#call(this.#rig.turn(ask).catch(() => this.#turns.delete(step.session)));
        break;
      }
      case 'draft':
      case 'answer': {
        this.#hold(step.at);
        const { signal: gone } = this.#leaver(step.session);
        const turn = (this.#turns.get(step.session) ?? 0) + 1;
        const request = requestOf({ session: step.session, turn, text: 'hello, as far', maxWaitMs: 0 });
        const draft = step.kind === 'draft' ? manager.evaluate.bind(manager) : manager.draft.bind(manager);
        this.#call(draft(request, { part: () => {}, gone }));
        break;
      }
      case 'fails':
        if (step.how === 'midway') llm.failNext('midway');
        else store.failNext('append');
        break;
      case 'cancel':
        this.#call(manager.sessions.cancel(ADA, step.session as SessionId));
        break;
      case 'leave':
        this.#leavers.get(step.session)?.abort();
        this.#leavers.delete(step.session);
        break;
      case 'delete':
        this.#call(manager.sessions.delete(ADA, step.session as SessionId));
        break;
      case 'evict':
        for (let records = 0; records < 4; records++)
          this.#call(
            node.records.writeSealed(sealedTurn({ key: sessionKey(`f${this.#fillers++}`, ADA), replyTokens: 700 })),
          );
        break;
      case 'sweep':
        this.#call(node.records.removeExpired());
        break;
      case 'pass':
        await environment.advance(step.ms);
        break;
      case 'release':
        if (this.#holds.length > 0) this.#holds.splice(step.which % this.#holds.length, 1)[0]?.release();
        break;
      default:
        step satisfies never;
    }
    await this.#rig.settled();
  }

  /** All that was begun has ended, and the time is over. */
  async end(): Promise<void> {
    const { environment } = this.#rig;
    for (;;) {
      for (const hold of this.#holds.splice(0)) hold.release();
      if (this.#rig.node.turnsInFlight === 0) break;
      await environment.advance(1_000);
    }
    await Promise.all(this.#calls);
    await environment.advance(2 * UNSTORED_KEPT_MS);
  }

  #call(call: Promise<unknown>): void {
    this.#calls.push(call.catch(() => undefined));
  }

  #leaver(of: string): AbortController {
    const leaver = this.#leavers.get(of) ?? new AbortController();
    this.#leavers.set(of, leaver);
    return leaver;
  }

  #hold(at: (typeof PLACES)[number] | undefined): void {
    const { llm, store } = this.#rig;
    if (at === undefined) return;
    this.#holds.push(at === 'prompt' ? llm.hold() : at === 'end' ? llm.holdEnd() : store.hold(at));
  }
}

const seen = { held: 0, unstored: 0, removed: 0 };

test('the engine holds the state of those sessions that are in the store, and of no others', async () => {
  const property = async (steps: readonly Step[], parallel: number | undefined) => {
    const rig = await contextManagerRig({
      ...{ forgetsStates: true, scripted: { parallel } },
      storeIn: (environment) => memoryStore({ bytesMax: BYTES_MAX }, environment),
    });
    const history = new History(rig);
    for (const step of steps) await history.do(step);
    await history.end();
    expect(rig.environment.pendingTimers).toBe(0);
    for (const session of SESSIONS) {
      const key = sessionKey(session, ADA, rig.manager.keygroup);
      const isStored = await rig.node.records.holds(key);
      const isHeld = await rig.llm.holdsState(sessionKeyText(key));
      if (!isStored || !history.removed.has(session))
        expect({ session, isHeld }).toEqual({ session, isHeld: isStored });
      if (isHeld) seen.held++;
      if (history.removed.has(session)) seen.removed++;
      else if (!isStored && rig.llm.generations.some(({ request }) => request.affinity === sessionKeyText(key)))
        seen.unstored++;
    }
  };
  const steps = fc.array(step, { minLength: 5, maxLength: 40 });
  await fc.assert(fc.asyncProperty(steps, fc.constantFrom(1, 2, undefined), property), { numRuns: RUNS });
  if (RUNS >= 60) for (const [kind, count] of Object.entries(seen)) expect([kind, count > 0]).toEqual([kind, true]);
});

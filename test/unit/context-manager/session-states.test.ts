// KV state that nobody comes back for: drafts without a turn, first turns that fail in every way there is, sessions that go in every way
// there is, also while a turn of theirs waits. Looks for state that stays then, and for state that goes while somebody may come back.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UNSTORED_KEPT_MS, UNSTORED_MAX } from '../../../src/context-manager/sessions/session-states.ts';
import type { ContextStore } from '../../../src/context-store/context-store.ts';
import { openLevelStore } from '../../../src/context-store/leveldb.ts';
import { memoryStore } from '../../../src/context-store/memory.ts';
import { type NodeId, type SessionId, sessionKeyText, type UserId } from '../../../src/domain/identifiers.ts';
import { sealedTombstone, sealedTurn, sessionKey } from '../../../tools/turn-records.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { codeOf, contextManagerRig, type Rig, type RigOptions, requestOf } from '../../support/context-manager-rig.ts';

const ADA = 'ada' as UserId;
const BYTES_MAX = 20_000;

let rig: Rig;
const start = async (options: RigOptions = {}) => {
  rig = await contextManagerRig({ forgetsStates: true, ...options });
};
beforeEach(() => start());

const keyOf = (session: string) => sessionKey(session, ADA, rig.manager.keygroup);
const isHeld = (session: string) => rig.llm.holdsState(sessionKeyText(keyOf(session)));
const isStored = (session: string) => rig.node.records.holds(keyOf(session));
const cancel = (session: string) => rig.manager.sessions.cancel(ADA, session as SessionId);
const found = ({ usage }: { readonly usage: { readonly cachedTokens: number } }) => usage.cachedTokens > 0;
const draft = async (session: string, text = 'hello, as far as it') => {
  await rig.evaluate({ session, turn: 1, text });
};

describe('a draft of a session that there is not yet', () => {
  it('is there for its first turn, and stays with it', async () => {
    await draft('s');
    await rig.environment.advance(UNSTORED_KEPT_MS - 1);
    expect(await isStored('s')).toBe(false);
    expect(found(await rig.turn({ session: 's', turn: 1, text: 'hello, as far as it goes' }))).toBe(true);
    expect(rig.environment.pendingTimers).toBe(0);
    await rig.environment.advance(2 * UNSTORED_KEPT_MS);
    expect(await isHeld('s')).toBe(true);
  });

  it('goes a while after the last one', async () => {
    await draft('s');
    await rig.environment.advance(UNSTORED_KEPT_MS - 1);
    await draft('s', 'hello, as far as it is');
    await rig.environment.advance(UNSTORED_KEPT_MS - 1);
    const forget = vi.spyOn(rig.llm.warming, 'forget');
    expect(forget).not.toHaveBeenCalled();
    await rig.environment.advance(1);
    expect(forget).toHaveBeenCalledTimes(1);
    expect(await isHeld('s')).toBe(false);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('of one that there is, stays with it', async () => {
    await rig.turn({ session: 's', turn: 1 });
    await rig.evaluate({ session: 's', turn: 2 });
    await rig.environment.advance(2 * UNSTORED_KEPT_MS);
    expect(await isHeld('s')).toBe(true);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('stays while a turn of it waits, and goes with that', async () => {
    await draft('s');
    rig.node.records.forget(keyOf('s'));
    const hold = rig.store.hold('read');
    const waiting = codeOf(rig.turn({ session: 's', turn: 1 }));
    await hold.entered;
    await rig.environment.advance(UNSTORED_KEPT_MS);
    const cancelled = cancel('s');
    hold.release();
    expect([await waiting, await cancelled]).toEqual(['turn_cancelled', 'stopped']);
    await rig.environment.advance(UNSTORED_KEPT_MS - 1);
    expect(rig.environment.pendingTimers).toBe(1);
    await rig.environment.advance(1);
    expect(await isHeld('s')).toBe(false);
  });

  it('goes, where the store cannot say whether the session is there', async () => {
    await draft('s');
    rig.store.failNext('read');
    await rig.environment.advance(UNSTORED_KEPT_MS);
    expect(await isHeld('s')).toBe(false);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('is not forgotten for what is read while its first turn is stored', async () => {
    await draft('s');
    const hold = rig.store.hold('answer');
    await rig.environment.advance(UNSTORED_KEPT_MS);
    await hold.entered;
    await rig.turn({ session: 's', turn: 1 });
    hold.release();
    await rig.settled();
    expect(await isHeld('s')).toBe(true);
  });

  it('of the first of more sessions than are remembered, goes at once', async () => {
    const forget = vi.spyOn(rig.llm.warming, 'forget');
    const generated = (session: string) => rig.node.states?.generated(keyOf(session));
    for (let number = 0; number < UNSTORED_MAX; number++) generated(`s${number}`);
    generated('s0');
    expect(forget).not.toHaveBeenCalled();
    generated('one more');
    expect(forget.mock.calls).toEqual([[sessionKeyText(keyOf('s1'))]]);
    expect(rig.environment.pendingTimers).toBe(UNSTORED_MAX);
    await rig.node.close(0);
    expect(forget).toHaveBeenCalledTimes(UNSTORED_MAX + 1);
    expect(rig.environment.pendingTimers).toBe(0);
  });
});

/** How a first turn comes to nothing once the LLM Service has worked on it: what it is refused with. */
const FAILURES: Record<string, () => Promise<string>> = {
  'is cancelled': async () => {
    const hold = rig.llm.holdEnd();
    const cancelled = codeOf(rig.turn({ session: 's', turn: 1 }));
    await hold.entered;
    await Promise.all([cancel('s'), hold.release()]);
    return cancelled;
  },
  'is cut off with its client, and takes too long then': async () => {
    const leaver = new AbortController();
    const hold = rig.llm.holdEnd();
    const left = codeOf(rig.turn({ session: 's', turn: 1, gone: leaver.signal }));
    await hold.entered;
    leaver.abort();
    await rig.environment.advance(60_000);
    hold.release();
    return left;
  },
  'is refused by the store': () => {
    rig.store.failNext('append');
    return codeOf(rig.turn({ session: 's', turn: 1 }));
  },
  'has a reply without an end': () => {
    rig.llm.failNext('no end');
    return codeOf(rig.turn({ session: 's', turn: 1 }));
  },
};

describe.each(Object.entries(FAILURES))('a first turn that %s', (_how, fail) => {
  it('leaves its state to the same turn sent again, for a while', async () => {
    expect(await fail()).toMatch(/turn_cancelled|store_unavailable|llm_bad_reply/);
    await rig.environment.advance(UNSTORED_KEPT_MS - 1);
    expect(found(await rig.turn({ session: 's', turn: 1 }))).toBe(true);
    await rig.environment.advance(2 * UNSTORED_KEPT_MS);
    expect(await isHeld('s')).toBe(true);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('leaves nothing after that', async () => {
    await fail();
    await rig.environment.advance(UNSTORED_KEPT_MS);
    expect(await isHeld('s')).toBe(false);
    expect(rig.environment.pendingTimers).toBe(0);
  });

  it('leaves nothing to a node that closes', async () => {
    await rig.turn({ session: 'stored', turn: 1 });
    await rig.evaluate({ session: 'stored', turn: 2 });
    await fail();
    await Promise.all([rig.node.close(0), rig.node.close(0)]);
    expect(rig.environment.pendingTimers).toBe(0);
    expect([await isHeld('s'), await isHeld('stored')]).toEqual([false, true]);
  });
});

it('a turn that outlives the node that it was taken at leaves no timer there', async () => {
  const hold = rig.llm.holdEnd();
  const stopped = codeOf(rig.turn({ session: 's', turn: 1 }));
  await hold.entered;
  const closing = rig.node.close(0);
  await rig.environment.advance(60_000);
  await closing;
  hold.release();
  expect(await stopped).toBe('shutting_down');
  expect(rig.environment.pendingTimers).toBe(0);
});

it('a session that is deleted has its state forgotten at once, also before it has any record', async () => {
  await rig.turn({ session: 'stored', turn: 1 });
  await draft('drafted');
  for (const session of ['stored', 'drafted']) {
    await rig.node.records.writeSealed(sealedTombstone({ key: keyOf(session) }));
    expect(await isHeld(session)).toBe(false);
  }
  expect(rig.environment.pendingTimers).toBe(0);
});

it('an answer that opens a session and is not kept leaves nothing, though it was drafted before', async () => {
  await draft('s');
  await rig.manager.draft(requestOf({ session: 's', turn: 1 }), { part: () => {}, gone: new AbortController().signal });
  expect(await isHeld('s')).toBe(false);
  expect(rig.environment.pendingTimers).toBe(0);
});

/** Stores with little room, each over a folder that it may use. */
const STORES: Record<string, (folder: string, environment: VirtualEnvironment) => Promise<ContextStore>> = {
  memory: async (_folder, environment) => memoryStore({ bytesMax: BYTES_MAX }, environment),
  leveldb: (folder, environment) =>
    openLevelStore({ folder, nodeId: 'node-1' as NodeId, bytesMax: BYTES_MAX }, environment),
};

describe.each(Object.entries(STORES))('over the store %s, a session that goes', (_name, open) => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'session-states-'));
    const environment = virtualEnvironment();
    const store = await open(folder, environment);
    await start({ environment, scripted: { parallel: 1 }, storeIn: () => store });
    await rig.turn({ session: 's', turn: 1, ttlSeconds: 60 });
  });
  afterEach(async () => {
    await rig.store.close();
    await rig.environment.advance(0);
    await rm(folder, { recursive: true });
  });

  const GOES: Record<string, () => Promise<unknown>> = {
    expires: async () => {
      await rig.environment.advance(61_000);
      return rig.node.records.removeExpired();
    },
    'is evicted': async () => {
      let isGone = false;
      rig.store.onRemoved(({ sessionId }) => {
        isGone ||= sessionId === 's';
      });
      await rig.environment.advance(1);
      for (let number = 0; !isGone; number++)
        await rig.node.records.writeSealed(sealedTurn({ key: sessionKey(`f${number}`, ADA), replyTokens: 1_000 }));
    },
  };

  it.each(Object.entries(GOES))('and %s leaves nothing', async (_how, go) => {
    await go();
    expect(await isHeld('s')).toBe(false);
  });

  it.each(Object.entries(GOES))(
    'and %s while turns of it wait leaves nothing once they are refused',
    async (_how, go) => {
      const hold = rig.llm.hold();
      const other = rig.turn({ session: 'other', turn: 1 });
      await hold.entered;
      const waiting = [2, 3].map((turn) => codeOf(rig.turn({ session: 's', turn })));
      await rig.settled();
      await go();
      hold.release();
      expect(await Promise.all(waiting)).toEqual(['session_not_found', 'session_not_found']);
      await other;
      expect(rig.llm.generations).toHaveLength(3);
      await rig.environment.advance(UNSTORED_KEPT_MS);
      await vi.waitFor(async () => expect(await isHeld('s')).toBe(false));
      expect(await isHeld('other')).toBe(true);
    },
  );

  it.each(Object.entries(GOES))('and %s before the reply to its turn is stored leaves nothing', async (_how, go) => {
    const hold = rig.llm.hold();
    const refused = codeOf(rig.turn({ session: 's', turn: 2 }));
    await hold.entered;
    const held = rig.store.hold('append');
    hold.release();
    await held.entered;
    // The store is asked, and not told: what makes it go comes by another way.
    await go();
    held.release();
    expect(await refused).toBe('session_not_found');
    expect(await isHeld('s')).toBe(false);
  });
});

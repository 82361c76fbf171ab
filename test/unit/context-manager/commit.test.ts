// Breaks the commit: a store that fails, is slow, or fails after it has stored; sessions deleted, evicted or read while a
// turn of theirs is being stored; an LLM Service that fails in every way it can. What was acknowledged must be stored,
// and what was not must leave nothing behind, so that the same turn can be sent again and gives one record.
import { describe, expect, it } from 'vitest';
import { RECORD_BYTES_MAX, type SealedRecord } from '../../../src/domain/record/record-codec.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { codeOf, contextManagerRig, errorOf, replicaRig } from '../../support/context-manager-rig.ts';

const ADA = 'ada' as never;
const S = 's' as never;

describe('acknowledged means stored', () => {
  it('no reply before the record is durable, though every part was sent', async () => {
    const rig = await contextManagerRig();
    const hold = rig.store.hold('appended');
    let parts = '';
    let replied = false;
    const reply = rig.turn({ session: 's', turn: 1, onPart: (text) => (parts += text) }).finally(() => {
      replied = true;
    });
    await hold.entered;
    await rig.settled();
    expect({ parts, replied }).toEqual({ parts: 'Turn 1: hello', replied: false });
    hold.release();
    const { contextId } = await reply;
    expect(rig.records('s').map(({ hash }) => hash)).toEqual([contextId]);
  });

  it('the record says what was asked and answered', async () => {
    const rig = await contextManagerRig();
    const ask = { session: 's', turn: 1, sampling: { temperature: 0.5, seed: 7, top_k: 3 }, maxTokens: 3 };
    const { contextId } = await rig.turn(ask);
    const [{ record, hash }] = rig.records('s') as never as [SealedRecord];
    expect(hash).toBe(contextId);
    expect(record).toMatchObject({
      userId: 'ada',
      sessionId: 's',
      origin: 'node-1',
      turn: 1,
      contextStart: 1,
      stop: { kind: 'limit' },
      sampling: { temperature: 0.5, seed: 7, maxTokens: 3 },
      writtenAtMs: rig.environment.clock.now(),
    });
  });
});

describe('what no record can hold', () => {
  /** Whose tokenizer has one id for all of a long text. */
  async function rigForHugeTexts() {
    const rig = await contextManagerRig();
    const { tokenize } = rig.llm;
    rig.llm.tokenize = async (text, how) =>
      text.length > 1_000_000 ? [97 as TokenId] : tokenize.call(rig.llm, text, how);
    return rig;
  }

  it.each([
    ['a prompt as long as a record', { text: 'x'.repeat(RECORD_BYTES_MAX) }],
    ['a prompt that leaves no room for a reply', { text: 'x'.repeat(RECORD_BYTES_MAX - 120) }],
    ['a number that it cannot write', { maxTokens: 2 ** 53 }],
  ])('%s is refused before the LLM is asked', async (_name, ask) => {
    const rig = await rigForHugeTexts();
    expect(await errorOf(rig.turn({ session: 's', turn: 1, mode: 'raw', ...ask }))).toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('this turn cannot be stored'),
    });
    expect(rig.llm.generations).toHaveLength(0);
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ turn: 1 });
  });

  it('a reply ends where the record is full', async () => {
    const rig = await rigForHugeTexts();
    await rig.turn({ session: 's', turn: 1, mode: 'raw', text: 'x'.repeat(RECORD_BYTES_MAX - 1000) });
    expect(rig.llm.generations[0]?.request.maxTokens).toBe(14);
    expect(rig.records('s')).toHaveLength(1);
  });
});

describe('a store that fails', () => {
  it.each(['append', 'read'] as const)(
    'in %s: store_unavailable, and the same turn sent again is answered',
    async (where) => {
      const rig = await contextManagerRig();
      rig.store.failNext(where);
      expect(await codeOf(rig.turn({ session: 's', turn: 1 }))).toBe('store_unavailable');
      expect(rig.records('s')).toHaveLength(0);
      expect(await codeOf(rig.manager.sessions.show(ADA, S))).toBe('session_not_found');
      expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ turn: 1, replayed: false });
      expect(rig.records('s')).toHaveLength(1);
      rig.store.failNext('append');
      expect(await codeOf(rig.turn({ session: 's', turn: 2 }))).toBe('store_unavailable');
      expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ turn: 2, basedOnTurn: 1, replayed: false });
      expect(rig.records('s')).toHaveLength(2);
    },
  );

  it.each([1, 2])('after it has stored turn %i: the turn sent again is a replay, not a second record', async (turn) => {
    const rig = await contextManagerRig();
    await rig.turns('s', { to: turn - 1 });
    rig.store.failNext('appended');
    expect(await codeOf(rig.turn({ session: 's', turn }))).toBe('store_unavailable');
    expect(await rig.turn({ session: 's', turn })).toMatchObject({ turn, replayed: true });
    expect(rig.llm.generations).toHaveLength(turn);
  });

  it('after it has stored a turn, while someone reads the session: what they read is not taken for the truth', async () => {
    const rig = await contextManagerRig({ options: { contextCacheBytes: 1 } });
    await rig.turn({ session: 's', turn: 1 });
    const hold = rig.store.hold('append');
    const failed = codeOf(rig.turn({ session: 's', turn: 2 }));
    await hold.entered;
    await rig.turn({ session: 'other', turn: 1 });
    const reading = rig.store.hold('answer');
    const shown = rig.manager.sessions.show(ADA, S);
    await reading.entered;
    rig.store.failNext('appended');
    hold.release();
    expect(await failed).toBe('store_unavailable');
    reading.release();
    expect((await shown).turns).toHaveLength(1);
    expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ replayed: true });
  });

  it.each([1, 2])(
    'and hangs at turn %i: while its outcome is unknown the turn is not answered again; stored, it is a replay',
    async (turn) => {
      const rig = await contextManagerRig();
      await rig.turns('s', { to: turn - 1 });
      const hang = rig.store.hangNext();
      expect(await codeOf(rig.turn({ session: 's', turn }))).toBe('store_unavailable');
      const readMeanwhile = rig.manager.sessions.show(ADA, S).then(
        ({ turns }) => turns.length,
        ({ code }) => code,
      );
      expect(await readMeanwhile).toBe(turn === 1 ? 'session_not_found' : 1);
      for (const ask of [{}, { text: 'other' }, { turn: turn + 1, consistency: 'available' as const }]) {
        expect(['store_unavailable', 'session_not_found']).toContain(
          await codeOf(rig.turn({ session: 's', turn, ...ask })),
        );
      }
      if (turn === 2) expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ replayed: true });
      expect(await rig.turn({ session: 'other', turn: 1 })).toMatchObject({ replayed: false });
      hang.storeIt();
      await rig.settled();
      expect(await rig.turn({ session: 's', turn })).toMatchObject({ turn, replayed: true });
      expect(await rig.turn({ session: 's', turn: turn + 1 })).toMatchObject({ basedOnTurn: turn });
      expect(rig.records('s').map(({ record }) => record.turn)).toEqual(turn === 1 ? [1, 2] : [1, 2, 3]);
      expect(rig.llm.generations).toHaveLength(turn + 2);
    },
  );

  it('and hangs, and refuses in the end: the turn is answered as if it had never been', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1 });
    const hang = rig.store.hangNext();
    expect(await codeOf(rig.turn({ session: 's', turn: 2 }))).toBe('store_unavailable');
    await rig.manager.sessions.show(ADA, S);
    hang.refuseIt();
    await rig.settled();
    expect(await rig.turn({ session: 's', turn: 2, text: 'other' })).toMatchObject({ turn: 2, replayed: false });
    expect(rig.records('s')).toHaveLength(2);
  });

  it('and hangs in a fork: sent again it waits for what is being stored, and then completes that', async () => {
    const rig = await contextManagerRig();
    await rig.turns('s', { to: 2 });
    const request = {
      userId: ADA,
      sessionId: S,
      newSessionId: 'copy' as never,
      turn: 2 as never,
      contextId: undefined,
      ttlSeconds: undefined,
      maxWaitMs: 0,
    };
    const fork = () => rig.manager.fork(request, new AbortController().signal);
    const hangs = [rig.store.hangNext(), rig.store.hangNext()];
    expect(await codeOf(fork())).toBe('store_unavailable');
    await rig.environment.advance(1000);
    expect(await codeOf(fork())).toBe('store_unavailable');
    for (const hang of hangs) hang.storeIt();
    await rig.settled();
    await fork();
    expect((await rig.manager.sessions.show(ADA, request.newSessionId)).tips).toHaveLength(1);
    expect(rig.records('copy')).toHaveLength(2);
  });

  it('and hangs: a process that starts meanwhile goes by what is stored', async () => {
    const rig = await contextManagerRig();
    const hang = rig.store.hangNext();
    expect(await codeOf(rig.turn({ session: 's', turn: 1 }))).toBe('store_unavailable');
    hang.storeIt();
    rig.restart();
    await rig.settled();
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ replayed: true });
    expect(rig.llm.generations).toHaveLength(1);
  });

  it('is not read as an empty session', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1 });
    rig.restart();
    rig.store.failNext('read');
    expect(await codeOf(rig.turn({ session: 's', turn: 1, text: 'other' }))).toBe('store_unavailable');
    expect(await codeOf(rig.turn({ session: 's', turn: 1, text: 'other' }))).toBe('turn_conflict');
  });
});

describe('an LLM Service that fails', () => {
  it.each([
    ['at once', 'llm_unavailable'],
    ['midway', 'llm_unavailable'],
    ['no end', 'llm_bad_reply'],
  ] as const)('%s: %s, nothing is stored, and the next prompt is as if it had not been', async (how, code) => {
    const rig = await contextManagerRig();
    await rig.turns('s', { to: 2 });
    rig.llm.failNext(how);
    expect(await codeOf(rig.turn({ session: 's', turn: 3, text: 'lost words' }))).toBe(code);
    expect(rig.records('s')).toHaveLength(2);
    expect(await rig.turn({ session: 's', turn: 3, text: 'other words' })).toMatchObject({
      turn: 3,
      text: 'Turn 3: other words',
    });
    const [, second, , third] = rig.llm.generations;
    const known = [...(second?.prompt ?? []), ...(second?.end?.ids ?? [])];
    expect(third?.prompt.slice(0, known.length)).toEqual(known);
    expect(Buffer.from(third?.prompt as never).toString()).not.toContain('lost words');
  });
});

describe('a session that changes while a turn of it is being answered', () => {
  it('deleted: the turn is refused and the session stays deleted', async () => {
    for (const where of ['llm', 'end', 'append'] as const) {
      const rig = await contextManagerRig({ options: { contextCacheBytes: 1 } });
      await rig.turn({ session: 's', turn: 1 });
      const hold = where === 'llm' ? rig.llm.hold() : where === 'end' ? rig.llm.holdEnd() : rig.store.hold('append');
      const refused = codeOf(rig.turn({ session: 's', turn: 2 }));
      await hold.entered;
      await rig.turn({ session: 'other', turn: 1 });
      await rig.manager.sessions.delete(ADA, S);
      hold.release();
      expect(await refused).toBe('session_deleted');
      expect(await codeOf(rig.manager.sessions.show(ADA, S))).toBe('session_deleted');
      expect(await codeOf(rig.turn({ session: 's', turn: 3 }))).toBe('session_deleted');
      expect(await codeOf(rig.turn({ session: 's', turn: 1 }))).toBe('session_deleted');
    }
  });

  it('deleted right after its record was stored: acknowledged, and deleted all the same', async () => {
    const rig = await contextManagerRig({ options: { contextCacheBytes: 1 } });
    await rig.turn({ session: 's', turn: 1 });
    const hold = rig.store.hold('appended');
    const reply = rig.turn({ session: 's', turn: 2 });
    await hold.entered;
    await rig.turn({ session: 'other', turn: 1 });
    await rig.manager.sessions.delete(ADA, S);
    hold.release();
    expect(await reply).toMatchObject({ turn: 2 });
    expect(await codeOf(rig.manager.sessions.show(ADA, S))).toBe('session_deleted');
    expect(await codeOf(rig.turn({ session: 's', turn: 3 }))).toBe('session_deleted');
  });

  it('a deletion that fails stops nothing', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1 });
    const hold = rig.llm.hold();
    const reply = rig.turn({ session: 's', turn: 2 });
    await hold.entered;
    rig.store.failNext('append');
    expect(await codeOf(rig.manager.sessions.delete(ADA, S))).toBe('store_unavailable');
    hold.release();
    expect(await reply).toMatchObject({ turn: 2 });
  });

  it('evicted from the cache, and read again by someone else: the next turn knows all turns', async () => {
    const rig = await contextManagerRig({ options: { contextCacheBytes: 1 } });
    await rig.turns('s', { to: 2 });
    for (const where of ['append', 'appended'] as const) {
      const turn = where === 'append' ? 3 : 4;
      const hold = rig.store.hold(where);
      const reply = rig.turn({ session: 's', turn });
      await hold.entered;
      await rig.turn({ session: 'other', turn: 1, text: where }).catch(() => {});
      const reading = rig.store.hold('answer');
      const shown = rig.manager.sessions.show(ADA, S);
      await reading.entered;
      hold.release();
      await reply;
      reading.release();
      await shown;
      expect((await rig.manager.sessions.show(ADA, S)).turns).toHaveLength(turn);
    }
    expect(await rig.turn({ session: 's', turn: 5 })).toMatchObject({ turn: 5, basedOnTurn: 4 });
    expect(rig.records('s').map(({ record }) => record.turn)).toEqual([1, 2, 3, 4, 5]);
  });

  it('a branch arrives: both are kept, and the reply stands on what its prompt was made of', async () => {
    const other = await contextManagerRig({ options: { nodeId: 'node-2' as never } });
    await other.turn({ session: 's', turn: 1, text: 'elsewhere' });
    await other.turn({ session: 's', turn: 2, text: 'elsewhere' });
    const rig = await replicaRig();
    await rig.turn({ session: 's', turn: 1 });
    const hold = rig.llm.hold();
    const reply = rig.turn({ session: 's', turn: 2 });
    await hold.entered;
    for (const sealed of other.records('s')) await rig.store.arrive(sealed);
    hold.release();
    expect(await reply).toMatchObject({ turn: 2, basedOnTurn: 1, text: 'Turn 2: hello' });
    const { tips } = await rig.manager.sessions.show(ADA, S);
    expect(tips).toHaveLength(2);
  });
});

// Fills small context windows under `summarize`: nothing is left out in silence, every prompt fits and begins with the one before but
// where it is summed up anew, and every node reads the same prompt from the records. An oracle that knows only ChatML says what it is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SUMMARY_REQUEST, summaryTokensMax } from '../../../src/context-manager/modes/summary-request.ts';
import type { ContextId, NodeId, SessionId, TurnNumber, UserId } from '../../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import { summaryMark, summaryPlaceOf } from '../../../src/domain/record/summary.ts';
import { SessionHistory, type Turn } from '../../../src/domain/session/session-history.ts';
import { summaryBeyond } from '../../../src/domain/session/session-summaries.ts';
import type { TokenSequence } from '../../../src/domain/token-sequence.ts';
import { bytes, chatmlIds, type ToldTurn } from '../../support/chatml-oracle.ts';
import {
  type Ask,
  codeOf,
  contextManagerRig,
  errorOf,
  type Rig,
  replicaRig,
} from '../../support/context-manager-rig.ts';
import { IM_END } from '../../support/probed-llm.ts';
import type { ProbedReplica } from '../../support/probed-store.ts';

const WINDOW = 3200;
const REPLY = 100;
const summarize = { overflow: 'summarize' as const, maxTokens: REPLY };
const endsAsking = (prompt: TokenSequence) =>
  Buffer.from([...prompt])
    .toString('latin1')
    .includes(`${SUMMARY_REQUEST}\x01\n\x00assistant`, Math.max(0, prompt.length - 320));
/** What the model was last asked that was no request for a summary. */
const lastPrompt = ({ llm }: Rig) => llm.generations.findLast(({ prompt }) => !endsAsking(prompt))?.prompt ?? [];
const isAsked = (prompt: TokenSequence) => Buffer.from([...prompt]).includes(SUMMARY_REQUEST);

const SUMMARY = 'what was said';
const ASKED = `${SUMMARY_REQUEST}<|im_end|>\n<|im_start|>assistant\n`;
const scripted = {
  contextTokens: WINDOW,
  reply: (prompt: string) => (prompt.endsWith(ASKED) ? SUMMARY : 'reply'),
};
const options = { replyTokensDefault: REPLY };
const smallRig = (): Promise<Rig> => contextManagerRig({ scripted, options });

class Teller {
  readonly told: ToldTurn[] = [];
  rig: Rig;
  user = 'ada' as UserId;
  readonly system: string | undefined;

  constructor(rig: Rig, system?: string) {
    this.rig = rig;
    this.system = system;
  }

  async tell(text: string, ask: Ask = summarize) {
    const opening = this.told.length === 0 ? { system: this.system } : {};
    const reply = await this.rig.turn({ session: 's', turn: this.told.length + 1, text, ...ask, ...opening } as Ask);
    const prompt = lastPrompt(this.rig);
    const summed = reply.summarized?.turns ?? 0;
    const standing =
      summed === 0 ? [] : [{ text: SUMMARY_REQUEST, reply: [...bytes(SUMMARY), IM_END] as TokenSequence }];
    const left = [...standing, ...this.told.slice(summed + reply.droppedTurns), { text, reply: undefined }];
    expect(Buffer.from([...prompt]).toString()).toBe(Buffer.from(chatmlIds(this.system, left) as number[]).toString());
    expect(prompt.length + REPLY).toBeLessThanOrEqual(WINDOW);
    this.told.push({ text, reply: reply.replyIds });
    return { ...reply, prompt };
  }
}

/** A rig whose node is summing up the first turns of a session ahead of need, and held in that. */
async function summingUpAhead(): Promise<Rig> {
  const rig = await smallRig();
  const teller = new Teller(rig);
  for (let turn = 1; turn <= 3; turn++) await teller.tell('m'.repeat(600));
  const [answering, summingUp] = [rig.llm.hold(), rig.llm.hold()];
  answering.release();
  await teller.tell('m'.repeat(600));
  await summingUp.entered;
  return rig;
}

const summariesOf = (rig: Rig) => rig.records('s').filter(({ record }) => summaryPlaceOf(record) !== undefined);

describe('summarize', () => {
  it('sums the oldest turns up while the turn waits, once, and says so; what was said stays', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig, 'be brief');
    const replies = [];
    for (let turn = 1; turn <= 6; turn++) replies.push(await teller.tell('m'.repeat(600)));
    const first = replies.find(({ summarized }) => summarized !== undefined);
    expect(first?.summarized).toMatchObject({ made: 'now', tokens: SUMMARY.length + 1 });
    expect(first?.droppedTurns).toBe(0);
    expect(replies.at(-1)?.summarized?.turns).toBeGreaterThan(0);
    const shown = await rig.manager.sessions.show(first?.userId as never, 's' as never);
    expect(shown.turns).toHaveLength(6);
    expect(shown.branches).toHaveLength(0);
    expect(shown.summaries.map(({ text }) => text)).toContain(SUMMARY);
    rig.restart();
    expect(await rig.turn({ session: 's', turn: 6, text: 'm'.repeat(600), ...summarize })).toMatchObject({
      replayed: true,
      summarized: { turns: replies.at(-1)?.summarized?.turns, made: 'before' },
    });
  });

  it('goes further with each summary where the window holds few of the turns at once', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    for (let turn = 1; turn <= 2; turn++) await teller.tell('m'.repeat(1400));
    expect((await teller.tell('n'.repeat(1500))).summarized?.turns).toBe(2);
    expect(summariesOf(rig).map(({ record }) => summaryPlaceOf(record)?.through)).toEqual([1, 2]);
  });

  it('leaves no room for a summary beside the one whose place it takes', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    while ((await teller.tell('m'.repeat(600))).summarized === undefined);
    await teller.tell('m'.repeat(600));
    const room = bytes(SUMMARY_REQUEST).length + summaryTokensMax(rig.llm);
    const { summarized } = await teller.tell('n'.repeat(WINDOW - REPLY - room - 60));
    expect(summarized?.made).toBe('now');
  });

  it('is asked of the context as it stands, so that only the request is evaluated', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    for (let turn = 1; turn <= 5; turn++) await teller.tell('m'.repeat(600));
    const asked = rig.llm.generations.filter(({ prompt }) => isAsked(prompt) && !isAsked(prompt.slice(0, -400)));
    expect(asked.length).toBeGreaterThan(0);
    const [first] = asked;
    const known = chatmlIds(undefined, teller.told.slice(0, 2));
    expect(first?.prompt.slice(0, known.length)).toEqual(known);
    expect(first?.request.sampling).toMatchObject({ temperature: 0 });
  });

  it('fits, whatever was said, and reads the same after restarts and failures', async () => {
    const size = fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 400 }) },
      fc.integer({ min: 0, max: 1000 }),
    );
    const step = fc.record({ size, restart: fc.boolean(), fails: fc.boolean(), drops: fc.nat(5) });
    const system = fc.option(fc.constant('be brief'), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), system, async (history, system) => {
        const rig = await smallRig();
        const teller = new Teller(rig, system);
        for (const { size, restart, fails, drops } of history) {
          if (restart) rig.restart();
          if (fails) {
            // What is done ahead of need must not take the failure.
            await rig.settled();
            rig.llm.failNext('midway');
            await expect(teller.tell('!'.repeat(size))).rejects.toMatchObject({ code: 'llm_unavailable' });
          }
          await teller.tell('m'.repeat(size), drops === 0 ? { ...summarize, overflow: 'drop-oldest' } : summarize);
        }
      }),
      { numRuns: 15 },
    );
  });

  it('begins with the prompt before wherever nothing is summed up anew', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig, 'be brief');
    let before = await teller.tell('message');
    for (let turn = 2; turn <= 30; turn++) {
      const now = await teller.tell('m'.repeat(200));
      const known = [...before.prompt, ...before.replyIds];
      if (now.summarized?.made === undefined || now.summarized.made === 'before') {
        expect(now.prompt.slice(0, known.length)).toEqual(known);
      }
      before = now;
    }
    expect(summariesOf(rig).length).toBeGreaterThan(1);
  });

  it('that fails is told, and nothing is left out or lost for it', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    for (let turn = 1; turn <= 4; turn++) await teller.tell('m'.repeat(600));
    rig.llm.failNext('midway');
    await rig.settled();
    expect(summariesOf(rig)).toHaveLength(0);
    rig.llm.failNext('midway');
    expect(await codeOf(rig.turn({ session: 's', turn: 5, text: 'm'.repeat(600), ...summarize }))).toBe(
      'llm_unavailable',
    );
    expect(summariesOf(rig)).toHaveLength(0);
    expect(await teller.tell('m'.repeat(600))).toMatchObject({ turn: 5, summarized: { made: 'now' } });
    const tooLong = await errorOf(rig.turn({ session: 's', turn: 6, text: 'm'.repeat(3_100), ...summarize }));
    expect(tooLong).toMatchObject({ code: 'context_overflow', message: expect.stringContaining('message alone') });
  });

  it('keeps to raw mode as well', async () => {
    const rig = await smallRig();
    const ask = { session: 's', mode: 'raw' as const, ...summarize };
    const seen = [];
    for (let turn = 1; turn <= 8; turn++) {
      seen.push(await rig.turn({ ...ask, turn, text: 'm'.repeat(600) }));
      expect(lastPrompt(rig).length + REPLY).toBeLessThanOrEqual(WINDOW);
    }
    expect(seen.at(-1)?.summarized?.turns).toBeGreaterThan(2);
    expect(isAsked(lastPrompt(rig))).toBe(true);
    const before = lastPrompt(rig).length;
    rig.restart();
    expect(await rig.turn({ ...ask, turn: 9, text: 'm', overflow: 'error' })).toMatchObject({
      summarized: { turns: seen.at(-1)?.summarized?.turns, made: 'before' },
    });
    expect(lastPrompt(rig).length).toBeGreaterThan(before);
  });
});

describe('turns that were left out before', () => {
  const numbersIn = (prompt: string) => new Set([...prompt.matchAll(/#(\d+)#/g)].map(([number]) => number));
  const naming = {
    contextTokens: WINDOW,
    reply: (prompt: string) => (prompt.endsWith(ASKED) ? [...numbersIn(prompt)].join(' ') : 'reply'),
  };

  it.each(['tokenized', 'raw'] as const)('are in no summary and are told as dropped, in mode %s', async (mode) => {
    const rig = await contextManagerRig({ scripted: naming, options });
    const tell = async (turn: number, overflow: 'summarize' | 'drop-oldest') => {
      const text = `#${turn}# ${'m'.repeat(600)}`;
      const ask = { session: 's', turn, text, overflow, maxTokens: REPLY, ...(turn === 1 && { mode }) };
      const reply = await rig.turn(ask);
      // The model read of each turn itself, or its number in the summary.
      const read = numbersIn(Buffer.from([...lastPrompt(rig)]).toString('latin1'));
      expect(reply.droppedTurns).toBe(turn - read.size);
      if (turn % 2 === 0) rig.restart();
      const { droppedTurns, summarized } = await rig.turn(ask);
      expect([droppedTurns, summarized?.turns]).toEqual([reply.droppedTurns, reply.summarized?.turns]);
      return reply;
    };
    const dropped: number[] = [];
    for (let turn = 1; turn <= 6; turn++) await tell(turn, 'drop-oldest');
    for (const overflow of ['summarize', 'drop-oldest', 'summarize'] as const) {
      for (let more = 0; more < 6; more++) dropped.push((await tell(7 + dropped.length, overflow)).droppedTurns);
    }
    // What one policy left out, no later summary has; what is summed up stays.
    expect(dropped[0]).toBeGreaterThan(0);
    expect(dropped[5]).toBe(dropped[0]);
    expect(dropped[11]).toBeGreaterThan(dropped[5] as number);
    expect(dropped[17]).toBe(dropped[11]);
    const { summaries } = await rig.manager.sessions.show('ada' as UserId, 's' as SessionId);
    for (const { turns, text } of summaries) expect(numbersIn(text as string).size).toBe(turns);
    expect(summaries.length).toBeGreaterThan(1);
  });

  it('are not lost to a branch that has them: it passes over a summary without them', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    for (let turn = 1; turn <= 4; turn++) await teller.tell('m'.repeat(600));
    await rig.settled();
    const [whole] = summariesOf(rig);
    if (whole === undefined) throw new Error('a summary was to be made');
    const turns = rig.records('s').filter(({ hash }) => hash !== whole.hash);
    const of = turns.at(-1)?.hash as ContextId;
    // Whatever the hashes are: each may be the smallest.
    const without = [1, 2, 3, 4].map((ms) =>
      sealRecord({
        ...whole.record,
        writtenAtMs: whole.record.writtenAtMs + ms,
        extensions: summaryMark({ of, through: 4 as TurnNumber, absent: 2 }),
      }),
    );
    const beyond = (records: readonly SealedRecord[], contextStart: number) => {
      const history = new SessionHistory();
      for (const sealed of records) history.add(sealed);
      const begins = { contextStart: contextStart as TurnNumber, summary: undefined };
      return summaryBeyond(history, history.tip as Turn, begins)?.absent;
    };
    const lacking = [...turns, ...without];
    expect([1, 2, 3, 4].map((start) => beyond(lacking, start))).toEqual([undefined, undefined, 2, 2]);
    for (const start of [1, 2, 3, 4]) expect(beyond([...lacking, whole], start)).toBe(0);
  });
});

describe('ahead of need', () => {
  it('an idle node sums up a session that is nearly full, and the turn that needs it finds it there', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    for (let turn = 1; turn <= 4; turn++) await teller.tell('m'.repeat(600));
    await rig.settled();
    expect(summariesOf(rig)).toHaveLength(1);
    const asked = rig.llm.generations.length;
    expect(await teller.tell('m'.repeat(600))).toMatchObject({ summarized: { turns: 4, made: 'ahead' } });
    expect(rig.llm.generations.length).toBe(asked + 1);
  });

  it('stands aside for a turn of anybody, and is done once the node has nothing else to do', async () => {
    const rig = await summingUpAhead();
    await rig.turn({ session: 'other', turn: 1, text: 'hello' });
    await rig.settled();
    expect(summariesOf(rig)).toHaveLength(1);
    const begun = rig.llm.generations.filter(({ prompt }) => isAsked(prompt));
    expect(begun.map(({ error }) => error !== undefined)).toEqual([true, false]);
  });

  it('ends with its session, and asks the model no more of it', async () => {
    const rig = await summingUpAhead();
    await rig.manager.sessions.delete('ada' as UserId, 's' as SessionId);
    await rig.settled();
    const begun = rig.llm.generations.filter(({ prompt }) => isAsked(prompt));
    expect(begun.map(({ error }) => error)).toEqual([expect.objectContaining({ code: 'turn_cancelled' })]);
  });

  it('is not done for who does not ask for it', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    for (let turn = 1; turn <= 4; turn++) await teller.tell('m'.repeat(600), { maxTokens: REPLY });
    await rig.settled();
    expect(summariesOf(rig)).toHaveLength(0);
  });
});

describe('nodes that share a session', () => {
  /** Four turns of a session at each of three nodes, and a summary of it by one of them. */
  const shared = async () => {
    const rigs = await Promise.all(
      ['node-1', 'node-2', 'node-3'].map((nodeId) =>
        replicaRig({ scripted, options: { ...options, nodeId: nodeId as NodeId } }),
      ),
    );
    const [here, there, third] = rigs as [Rig<ProbedReplica>, Rig<ProbedReplica>, Rig<ProbedReplica>];
    const teller = new Teller(here);
    for (let turn = 1; turn <= 4; turn++) await teller.tell('m'.repeat(600));
    await here.settled();
    expect(here.records('s')).toHaveLength(5);
    return { here, there, third, teller };
  };

  it('read the summary that another has made, whatever came first', async () => {
    const { here, there, third, teller } = await shared();
    for (const sealed of here.records('s').toReversed()) await there.store.arrive(sealed);
    for (const sealed of here.records('s')) await third.store.arrive(sealed);
    teller.rig = there;
    const reply = await teller.tell('m'.repeat(600));
    expect(reply.summarized).toMatchObject({ turns: 4, made: 'ahead' });
    expect(await third.turn({ session: 's', turn: 5, text: 'm'.repeat(600), ...summarize })).toMatchObject({
      summarized: { turns: 4 },
    });
    expect(lastPrompt(third)).toEqual(reply.prompt);
  });

  it('that sum up the same turns at once read one of the summaries, the same one, whatever came first', async () => {
    const { here } = await shared();
    const [mine] = summariesOf(here);
    if (mine === undefined) throw new Error('a summary was to be made');
    const others = [1, 2, 3].map((ms) => sealRecord({ ...mine.record, writtenAtMs: mine.record.writtenAtMs + ms }));
    const turns = here.records('s').filter(({ hash }) => hash !== mine.hash);
    const all = [...turns, mine, ...others];
    const counts = (records: readonly SealedRecord[]) => {
      const history = new SessionHistory();
      for (const sealed of records) history.add(sealed);
      expect(history.add(mine)).toBe(false);
      expect(history.tip?.record.turn).toBe(4);
      return [
        history.summariesOf(history.tip?.hash as ContextId)[0]?.hash,
        summaryBeyond(history, history.tip as Turn),
      ];
    };
    const [first] = [mine, ...others].map(({ hash }) => hash).sort();
    expect(counts(all)).toEqual([first, expect.objectContaining({ through: 4 })]);
    expect(counts(all.toReversed())).toEqual(counts(all));
    // Of fewer turns, it gives way to one of more.
    const fewer = sealRecord({
      ...mine.record,
      extensions: summaryMark({ of: turns[1]?.hash as ContextId, through: 2 as TurnNumber, absent: 0 }),
    });
    expect(counts([fewer, ...all])).toEqual(counts(all));
  });

  it('a fork reads the summary that its source has begun with, without the record of it', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    for (let turn = 1; turn <= 6; turn++) await teller.tell('m'.repeat(600));
    const { key } = await rig.manager.fork(
      { ...FORK, userId: teller.user, newSessionId: 'f' as SessionId, turn: 6 as TurnNumber },
      new AbortController().signal,
    );
    const ask = { turn: 7, text: 'and now', maxTokens: REPLY };
    const mine = await rig.turn({ ...ask, session: 's' });
    const prompt = lastPrompt(rig);
    const forked = await rig.turn({ ...ask, session: key.sessionId });
    expect(forked.summarized).toEqual(mine.summarized);
    expect(mine.summarized?.turns).toBeGreaterThan(0);
    expect(lastPrompt(rig)).toEqual(prompt);
  });
});

const FORK = { sessionId: 's' as SessionId, contextId: undefined, ttlSeconds: undefined, maxWaitMs: 0 };

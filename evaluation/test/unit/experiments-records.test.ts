/**
 * Records that the growth experiment writes past the Context Manager, held against what they are to stand for: a delta has
 * the turn and nothing else, a whole context has everything before it, and both add up to the same conversation.
 */

import type { Incarnation, KeygroupId, NodeId } from 'discedge/internal/domain/identifiers';
import { sealRecord } from 'discedge/internal/domain/record/record-codec';
import { startScripted } from 'discedge/internal/llm-service/scripted';
import { expect, it } from 'vitest';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { type RecordForm, SessionRecords } from '../../src/nodes/session-records.ts';

const TURNS = [1, 2, 3, 4].map((turn) => ({ message: `Question ${turn}?`, reply: `Answer ${turn}, at some length.` }));
const REPLY_TOKENS = 9;

async function recordsOf(form: RecordForm) {
  const environment = virtualEnvironment();
  const llm = startScripted({}, environment);
  const records = await SessionRecords.of(llm, TURNS, {
    keygroup: '0011223344556677' as KeygroupId,
    origin: 'a' as NodeId,
    incarnation: '00112233' as Incarnation,
    clock: environment.clock,
    replyTokens: REPLY_TOKENS,
  });
  const written = TURNS.map(() => records.next(form));
  expect(() => records.next(form)).toThrow(RangeError);
  return written;
}

const idsOf = (payload: { mode: string }) => {
  const { promptIds, replyIds } = payload as unknown as { promptIds: number[]; replyIds: number[] };
  return [...promptIds, ...replyIds];
};

it('deltas laid end to end are the context, and each whole context is that of its turn', async () => {
  const deltas = (await recordsOf('delta')).map(({ record }) => idsOf(record.payload));
  const wholes = await recordsOf('whole-context');
  const jsons = await recordsOf('whole-context-json');
  for (const index of TURNS.keys()) {
    const context = deltas.slice(0, index + 1).flat();
    expect(idsOf(wholes[index]?.record.payload as never)).toEqual(context);
    expect(wholes[index]?.contextTokens).toBe(context.length);
    const payload = jsons[index]?.record.payload as unknown as { messages: { content: string }[] };
    expect(JSON.parse(payload.messages[0]?.content as string)).toEqual(context);
  }
});

it('replies are cut at the limit, as a model would be', async () => {
  for (const { record } of await recordsOf('delta')) {
    expect((record.payload as unknown as { replyIds: number[] }).replyIds).toHaveLength(REPLY_TOKENS);
  }
});

it('each record goes on from the one before, and can be stored', async () => {
  for (const form of ['delta', 'whole-context', 'whole-context-json'] as const) {
    let parent: string | undefined;
    for (const [index, { record }] of (await recordsOf(form)).entries()) {
      expect(record).toMatchObject({ turn: index + 1, parent });
      parent = sealRecord(record).hash;
    }
  }
});

it('a delta stays as small as its turn; a whole context grows, and as JSON grows faster', async () => {
  const sizes = async (form: RecordForm) =>
    (await recordsOf(form)).map(({ record }) => sealRecord(record).bytes.length);
  const [deltas, wholes, jsons] = await Promise.all([
    sizes('delta'),
    sizes('whole-context'),
    sizes('whole-context-json'),
  ]);
  const growth = (of: number[]) => (of.at(-1) as number) - (of[1] as number);
  expect(Math.abs(growth(deltas as number[]))).toBeLessThan(4);
  expect(growth(wholes as number[])).toBeGreaterThan(40);
  expect(growth(jsons as number[])).toBeGreaterThan(2 * growth(wholes as number[]));
});

// What a session says in words, for another model: calls become messages in that model's own syntax, what was thought stays behind
// and is named, and what waits for an answer waits there, too.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PrincipalAccounts } from '../../../src/access/principal-accounts.ts';
import type { ReadTurn, SessionView } from '../../../src/context-manager/sessions/sessions.ts';
import { wordedSession } from '../../../src/context-manager/sessions/worded-session.ts';
import type { ContextId, KeygroupId, SessionId, UserId } from '../../../src/domain/identifiers.ts';
import type { TurnAccount } from '../../../src/domain/principals/turn-account.ts';
import type { ContentPart } from '../../../src/domain/record/message-content.ts';
import type { Message, StopReason } from '../../../src/domain/record/turn-record.ts';
import { codeOf, contextManagerRig, type Rig } from '../../support/context-manager-rig.ts';

const QWEN3 = readFileSync(new URL('../../support/chat-templates/qwen3.jinja', import.meta.url), 'utf8');
const CALL: ContentPart = { type: 'tool-call', callId: 'c1', name: 'weather', arguments: '{"city":"Turin"}' };
const RESULT: ContentPart = { type: 'tool-result', callId: 'c1', isError: false, output: 'sunny' };
const TOOLS = [{ name: 'weather', description: 'The weather', parameters: { type: 'object', properties: {} } }];

const turn = (
  number: number,
  messages: readonly Message[],
  parts: readonly ContentPart[],
  more: object = {},
): ReadTurn => {
  const record = {
    kind: 'turn',
    turn: number,
    keygroup: '0123456789abcdef' as KeygroupId,
    stop: { kind: 'end' } as StopReason,
  };
  return {
    turn: {
      hash: `${number}`.padStart(32, '0') as ContextId,
      record: { ...record, payload: { mode: 'tokenized' } },
    } as unknown as ReadTurn['turn'],
    text: { messages, reply: 'shown', parts, replyIds: [], exact: true, ...more },
  };
};
const view = (...turns: ReadTurn[]) =>
  ({ mode: 'tokenized', turns, tips: [turns.at(-1)?.turn], summaries: [] }) as unknown as SessionView;

const CALLING = [
  turn(1, [{ role: 'user', content: 'How is the weather?' }], [{ type: 'thinking', text: 'hm' }, CALL], {
    preamble: { instructions: undefined, tools: TOOLS },
  }),
  turn(2, [{ role: 'tool', content: [RESULT] }], [{ type: 'text', text: 'It is sunny.' }]),
];

it('a reply that calls is a message of the turn that answers, and what it thought is named as left behind', () => {
  const worded = wordedSession(view(...CALLING));
  expect(worded.notCarried).toEqual(['exact_ids', 'kv_state', 'reasoning']);
  expect(worded.open).toEqual([]);
  expect(worded.turns).toEqual([
    {
      source: CALLING[1]?.turn,
      messages: [
        { role: 'user', content: 'How is the weather?' },
        { role: 'assistant', content: [CALL] },
        { role: 'tool', content: [RESULT] },
      ],
      preamble: { instructions: undefined, tools: TOOLS },
      reply: 'It is sunny.',
    },
  ]);
});

const request = (worded: ReturnType<typeof wordedSession>, account?: TurnAccount) => ({
  ...{ userId: 'ada' as UserId, newSessionId: undefined, mode: 'tokenized' as const, worded },
  ...{ ttlSeconds: undefined, account },
});
const gone = new AbortController().signal;

it('is written in the syntax of the model that it comes to, and its calls wait there for their results', async () => {
  const rig = await contextManagerRig({ chatTemplate: QWEN3 });
  const asking = turn(3, [{ role: 'user', content: 'And tomorrow?' }], [{ ...CALL, callId: 'c2' } as ContentPart]);
  const moved = await rig.manager.moveHere(request(wordedSession(view(...CALLING, asking))), gone);
  expect(moved).toMatchObject({ turn: 2, replayed: false });
  const { sessionId: session } = moved.key;
  await rig.turn({
    ...{ session, turn: 3, user: 'ada' },
    messages: [{ role: 'tool', content: [{ ...RESULT, callId: 'c2' } as ContentPart] }],
  });
  const prompt = Buffer.from([...(rig.llm.generations.at(-1)?.prompt ?? [])].filter((id) => id < 256)).toString();
  expect(prompt).toContain(
    '<tool_call>\n{"name": "weather", "arguments": {"city":"Turin"}}\n</tool_call>'.slice(0, 12),
  );
  for (const said of ['How is the weather?', 'sunny', 'It is sunny.', 'And tomorrow?']) expect(prompt).toContain(said);
  expect(prompt).not.toContain('hm');
});

describe('what waits for an answer', () => {
  const whole = wordedSession(view(...CALLING, turn(3, [{ role: 'user', content: 'And tomorrow?' }], [CALL])));
  const accountOf = ({ environment: { clock } }: Rig, limits = {}) =>
    new PrincipalAccounts(limits, clock).of({ name: 'shop', scopes: new Set(['service']), userId: 'shop' as UserId });

  it('takes its principal’s share of a full node', async () => {
    const rig = await contextManagerRig({ chatTemplate: QWEN3, options: { turnsInFlightMax: 4 } });
    const holds = ['a', 'b', 'c'].map((session) => {
      const hold = rig.llm.hold();
      return { hold, turn: rig.turn({ session, turn: 1 }) };
    });
    for (const { hold } of holds) await hold.entered;
    expect(await rig.manager.moveHere(request(whole, accountOf(rig)), gone)).toMatchObject({ turn: 2 });
    for (const { hold } of holds) hold.release();
    await Promise.all(holds.map(({ turn }) => turn));
  });

  it('is refused beyond what its user may have', async () => {
    const rig = await contextManagerRig({ chatTemplate: QWEN3 });
    const account = accountOf(rig, { bytes: 1 });
    expect(await codeOf(rig.manager.moveHere(request(whole, account), gone))).toBe('quota_exceeded');
  });
});

it('is refused where the model knows no calls', async () => {
  const rig = await contextManagerRig();
  expect(await codeOf(rig.manager.moveHere(request(wordedSession(view(...CALLING))), gone))).toBe('invalid_request');
});

it('what does not fit into a smaller window is kept, and named as left out', async () => {
  const rig = await contextManagerRig({ scripted: { contextTokens: 400 }, options: { replyTokensDefault: 20 } });
  const turns = Array.from({ length: 8 }, (_, at) =>
    turn(
      at + 1,
      [{ role: 'user', content: `message ${at} ${'m'.repeat(60)}` }],
      [{ type: 'text', text: `reply ${at}` }],
    ),
  );
  const moved = await rig.manager.moveHere(request(wordedSession(view(...turns))), gone);
  expect(moved.turn).toBe(8);
  expect(moved.droppedTurns).toBeGreaterThan(2);
  const next = await rig.turn({ session: moved.key.sessionId, turn: 9, text: 'on', overflow: 'drop-oldest' });
  expect(next.droppedTurns).toBeGreaterThanOrEqual(moved.droppedTurns);
  expect((await rig.manager.sessions.show('ada' as UserId, moved.key.sessionId)).turns).toHaveLength(9);
});

it('is not stored of a user who was erased since it was read', async () => {
  const rig = await contextManagerRig();
  await rig.turn({ session: 's', turn: 1 });
  const read = wordedSession(await rig.manager.sessions.show('ada' as UserId, 's' as SessionId));
  await rig.node.erasures.erase('ada' as UserId, { waitMs: 0, signal: gone });
  expect(await codeOf(rig.manager.moveHere(request(read), gone))).toBe('session_deleted');
});

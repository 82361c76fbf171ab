// What a turn looks like that could not be put into words: tries to make it look like one that says nothing.
import { expect, it } from 'vitest';
import { sessionOf } from '../../../src/client/stored-session.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { TurnRecord } from '../../../src/domain/record/turn-record.ts';
import { exactTurnView, turnView } from '../../../src/http/routes/session-view.ts';
import { sealedTurn } from '../../../tools/turn-records.ts';

const { record, hash } = sealedTurn();
const turn = { record: record as TurnRecord, hash };
const text = new DiscedgeError('llm_unavailable', 'the LLM Service went away');

it('a turn without text says why, and gives its ids to whoever exports it', () => {
  const shown = turnView({ turn, text });
  expect(shown).toMatchObject({
    turn: 1,
    context_id: hash,
    reply_tokens: 4,
    text_error: { code: 'llm_unavailable', message: text.message },
  });
  expect(shown).not.toHaveProperty('reply');
  expect(shown).not.toHaveProperty('user');
  expect(exactTurnView({ turn, text })).toMatchObject({ prompt_ids: [1, 2, 3, 1], text_error: { code: text.code } });
});

it('the client tells it from one that says nothing', () => {
  const silent = {
    reply: '',
    messages: [{ role: 'user' as const, content: '' }],
    replyIds: [],
    parts: [],
    exact: true,
  };
  const turns = [turnView({ turn, text }), turnView({ turn, text: silent })];
  const { turns: read } = sessionOf(JSON.parse(JSON.stringify({ turns })));
  expect(read).toMatchObject([
    { user: '', reply: '', textError: text.message },
    { user: '', reply: '', textError: undefined },
  ]);
});

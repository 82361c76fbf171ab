import { DiscedgeClientError } from '../../../src/client/errors.ts';
import { savedSession, savedText } from '../../../src/client/saved-session.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';

const session = {
  discedgeSession: 1,
  state: { sessionId: 's', turn: 1, contextId: 'ab'.repeat(16), node: 'http://a.example', model: 'm' },
  ...{ userId: 'u', mode: 'raw', system: 'Be brief.' },
  remembered: [{ turn: 1, context_id: 'ab'.repeat(16), system: 'x', prompt: 'a', reply: 'b' }],
  unsettled: { body: { session_id: 's', turn: 2, prompt: 'c' }, nodes: [['http://a.example', 1]] },
};

/** A session that a page has kept in its storage, or got from elsewhere. What is taken can be kept and taken again. */
export const open: OpenTarget = () => ({
  seeds: [
    JSON.stringify(session),
    JSON.stringify({ discedgeSession: 1, state: { sessionId: 's', turn: 0 }, remembered: [] }),
  ],
  isJson: true,
  check(input) {
    const read = refusedOr(() => savedSession(input.toString()), DiscedgeClientError);
    if (read === undefined) return;
    const again = savedText(savedSession(savedText(read)));
    if (again !== savedText(read)) throw new Error('another session the second time');
  },
});

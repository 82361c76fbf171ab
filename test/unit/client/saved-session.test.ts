// A session as a string: taken up in another process, with a turn in doubt and with what is kept for repair; and strings that
// somebody made up, which must be refused or name nothing that this client would not ask by itself.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiscedgeClient, DiscedgeClientError } from '../../../src/client/client.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

const clientOf = (options: object = {}) =>
  new DiscedgeClient({ nodes: node.url, backoffMs: 1, retriesMax: 0, ...options });
/** Loses the answer of the next request, which the node has got. */
const losing = () => {
  let isLost = true;
  const lossy = async (input: string, init: RequestInit) => {
    const response = await fetch(input, init);
    if (!isLost) return response;
    isLost = false;
    await response.text();
    throw new TypeError('the connection broke');
  };
  return clientOf({ fetch: lossy });
};

describe('a session goes on elsewhere', () => {
  it('from its string alone', async () => {
    const session = clientOf().session({ system: 'Be kind.', mode: 'raw' });
    const early = clientOf().restore(session.serialize());
    expect(early.sessionId).toBe(session.sessionId);
    await early.send('one');
    expect((await clientOf().restore(early.serialize()).send('two')).turn).toBe(2);
    expect((await early.history())[0]).toMatchObject({ user: 'one', system: 'Be kind.' });
    expect(await clientOf().sessions.show(session.sessionId)).toMatchObject({ mode: 'raw' });
  });

  it('with a turn of which it is not known whether it was stored: the same message is that turn', async () => {
    const session = losing().session();
    await expect(session.send('pay 5 EUR', { temperature: 0.5 })).rejects.toMatchObject({ code: 'node_unreachable' });
    const reply = await clientOf().restore(session.serialize()).send('pay 5 EUR');
    expect(reply).toMatchObject({ turn: 1, replayed: true });
  });

  it('and another message comes after it', async () => {
    const session = losing().session();
    await expect(session.send('pay 5 EUR')).rejects.toThrow();
    const restored = clientOf().restore(session.serialize());
    expect((await restored.send('something else')).turn).toBe(2);
    expect(await restored.history()).toMatchObject([{ user: 'pay 5 EUR' }, { user: 'something else' }]);
  });

  it('keeps no words unless it is to repair', async () => {
    const plain = clientOf().session();
    await plain.send('a secret');
    expect(plain.serialize()).not.toContain('a secret');
    const inDoubt = losing().session();
    await expect(inDoubt.send('a secret')).rejects.toThrow();
    await inDoubt.send('something else');
    expect(inDoubt.serialize()).not.toContain('a secret');
    const repairing = clientOf().session({ repair: 'auto' });
    await repairing.send('a secret');
    expect(repairing.serialize()).toContain('a secret');
    expect(clientOf().restore(repairing.serialize()).serialize()).not.toContain('a secret');
    expect(clientOf().restore(repairing.serialize(), { repair: 'auto' }).serialize()).toBe(repairing.serialize());
  });
});

describe('a string that was made up', () => {
  const refused = (text: string, client = clientOf()) => {
    try {
      client.restore(text);
    } catch (error) {
      return error instanceof DiscedgeClientError ? error.code : String(error);
    }
    return 'taken';
  };
  const good = {
    discedgeSession: 1,
    state: { sessionId: 's', turn: 1, contextId: 'a'.repeat(32), node: 'http://127.0.0.1:1' },
    remembered: [],
    unsettled: { body: { session_id: 's', turn: 2, prompt: 'hi' }, nodes: [['http://127.0.0.1:1', 1]] },
  };

  it.each([
    ['no JSON', '{'],
    ['not even text', undefined as never],
    ['too long', `"${'x'.repeat(4 * 1024 * 1024)}"`],
    ['null', 'null'],
    ['a list', '[]'],
    ['of another version', JSON.stringify({ ...good, discedgeSession: 2 })],
    ['without a session', JSON.stringify({ ...good, state: {} })],
    ['of a session that no URL leads to', JSON.stringify({ ...good, state: { ...good.state, sessionId: '..' } })],
    ['with half a turn', JSON.stringify({ ...good, state: { ...good.state, turn: 1.5 } })],
    ['with a negative turn', JSON.stringify({ ...good, state: { ...good.state, turn: -1 } })],
    ['with a context that is none', JSON.stringify({ ...good, state: { ...good.state, contextId: 'x' } })],
    ['with a script for a node', JSON.stringify({ ...good, state: { ...good.state, node: 'javascript:alert(1)' } })],
    ['with a mode that is none', JSON.stringify({ ...good, mode: 'client-side' })],
    ['of another user', JSON.stringify({ ...good, userId: 'eve' })],
    [
      'with a turn of another session',
      JSON.stringify({ ...good, unsettled: { ...good.unsettled, body: { session_id: 't', turn: 2, prompt: '' } } }),
    ],
    [
      'with a turn that is not the next',
      JSON.stringify({ ...good, unsettled: { ...good.unsettled, body: { session_id: 's', turn: 9, prompt: '' } } }),
    ],
    [
      'with a turn without words',
      JSON.stringify({ ...good, unsettled: { ...good.unsettled, body: { session_id: 's', turn: 2 } } }),
    ],
    [
      'with words that are none',
      JSON.stringify({ ...good, remembered: [{ turn: 1, context_id: 'a'.repeat(32), prompt: 1, reply: '' }] }),
    ],
    ['with more than anybody remembers', JSON.stringify({ ...good, remembered: Array(65).fill({}) })],
  ])('%s is refused', (_, text) => {
    expect(refused(text)).toBe('invalid_use');
  });

  it('that names a node which this client does not know has it asked nothing', async () => {
    const asked: string[] = [];
    const client = clientOf({
      fetch: async (url: string, init: RequestInit) => {
        asked.push(url);
        return fetch(url, init);
      },
    });
    const session = client.restore(JSON.stringify({ ...good, state: { ...good.state, turn: 1 } }));
    expect(session.node).toBe(node.url);
    await session.send('something else').catch(() => {});
    expect(asked.length).toBeGreaterThan(0);
    for (const url of asked) expect(url.startsWith(node.url)).toBe(true);
  });

  it('is never anything but taken or refused', () => {
    fc.assert(
      fc.property(
        fc.json(),
        fc.array(fc.tuple(fc.constantFrom('state', 'remembered', 'unsettled', 'mode', 'userId'), fc.jsonValue())),
        (text, changes) => {
          expect(refused(text)).toBe('invalid_use');
          expect(['taken', 'invalid_use']).toContain(
            refused(JSON.stringify({ ...good, ...Object.fromEntries(changes) })),
          );
        },
      ),
    );
  });
});

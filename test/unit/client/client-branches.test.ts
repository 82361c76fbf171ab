// A client on a branch that is not the main line, and a client that forks, against real nodes in this process. The first
// must never be led to the other branch's turns; the second must not end up with two forks when an answer is lost.
import { Command } from 'commander';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { runSlashCommand } from '../../../src/cli/chat/slash-commands.ts';
import { define as defineSessions } from '../../../src/cli/commands/sessions.ts';
import { DiscedgeClient, type Session } from '../../../src/client/client.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
let client: DiscedgeClient;
beforeAll(async () => {
  node = await startTestNode();
  client = new DiscedgeClient({ nodes: node.url, retriesMax: 0 });
});
afterAll(() => node.close());

describe('a session with branches', () => {
  let sessionId: string;
  /** On the shorter branch: turns `shared`, `side`. */
  let side: Session;
  /** On the main line: turns `shared`, `main`, `main on`. */
  let main: Session;

  beforeEach(async () => {
    side = client.session();
    sessionId = side.sessionId;
    await side.send('shared');
    main = client.session(side.state);
    await side.send('side');
    // As a node that had not heard of `side` would have taken it.
    const other = await node.turn({
      prompt: 'main',
      session_id: sessionId,
      turn: 2,
      context_id: 'f'.repeat(32),
      consistency: 'available',
    });
    main = client.session({ sessionId, turn: 2, contextId: other.context_id });
    await main.send('main on');
  });

  const said = async (session: Session) => (await session.history()).map(({ user }) => user);

  it('is shown with where they part, each turn once', async () => {
    const shown = await client.sessions.show(sessionId);
    expect(shown.turns.map(({ user }) => user)).toEqual(['shared', 'main', 'main on']);
    expect(shown.branches).toMatchObject([
      { contextId: side.contextId, turn: 2, partsAfter: 1, turns: [{ user: 'side', turn: 2, node: 'test' }] },
    ]);
    expect(shown.wire).toMatchObject({
      context_id: main.contextId,
      branches: [{ context_id: side.contextId, parts_after: 1, parts_from: shown.turns[0]?.contextId, node: 'test' }],
    });
    const exported = (await client.sessions.export(sessionId)) as { branches: { turns: { reply_ids: number[] }[] }[] };
    expect(exported.branches[0]?.turns[0]?.reply_ids.length).toBeGreaterThan(0);
  });

  it('a client reads and goes on with its own branch, also after the other has become the main line', async () => {
    expect(await said(side)).toEqual(['shared', 'side']);
    expect(await side.refresh()).toEqual({ wentBack: false });
    expect(side.turn).toBe(2);
    await side.send('side on');
    await side.send('side on and on');
    expect(await said(side)).toEqual(['shared', 'side', 'side on', 'side on and on']);
    expect((await client.sessions.show(sessionId)).turns.at(-1)?.user).toBe('side on and on');
    expect(await said(main)).toEqual(['shared', 'main', 'main on']);
    await main.send('main again');
    expect(await said(main)).toEqual(['shared', 'main', 'main on', 'main again']);
  });

  it('what was said elsewhere on its branch is taken over; another branch is not', async () => {
    const elsewhere = client.session(side.state);
    await elsewhere.send('side on');
    await side.refresh();
    expect(side.state).toMatchObject({ turn: 3, contextId: elsewhere.contextId });
    expect(await side.refresh({ mayGoBack: true })).toEqual({ wentBack: false });
    expect(side.contextId).toBe(elsewhere.contextId);
  });

  it('a turn of the side branch whose answer was lost is found there', async () => {
    let losing = false;
    const lossy = new DiscedgeClient({
      nodes: node.url,
      retriesMax: 0,
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        if (!losing || !input.endsWith('/completion')) return response;
        losing = false;
        await response.text();
        throw new TypeError('fetch failed');
      },
    });
    const session = lossy.session(side.state);
    // The main line stays longer than this branch, so that only who looks beside it finds the lost turn.
    for (const text of ['main on 2', 'main on 3']) await main.send(text);
    losing = true;
    await expect(session.send('lost')).rejects.toMatchObject({ code: 'node_unreachable' });
    expect((await session.send('after it')).turn).toBe(4);
    expect(await said(session)).toEqual(['shared', 'side', 'lost', 'after it']);
  });

  it('forks the branch it is on', async () => {
    const fork = await side.fork({ turn: 2 });
    expect(fork.sessionId).not.toBe(sessionId);
    await fork.send('on');
    expect(await said(fork)).toEqual(['shared', 'side', 'on']);
  });

  it('the command line shows and forks them', async () => {
    const written: string[] = [];
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0);
    const run = (...words: string[]) => {
      const command = new Command();
      defineSessions(command);
      written.length = 0;
      return command.parseAsync([...words, '--url', node.url], { from: 'user' }).then(() => written.join(''));
    };
    try {
      const shown = await run('show', sessionId);
      expect(shown).toContain('3 turns and 1 branch,');
      expect(shown).toMatch(/main on.*beside it from turn 1 on, to turn 2: [0-9a-f]{32}.*› side/s);
      const name = `fork-of-${sessionId}`;
      expect(await run('fork', sessionId, '--turn', '2', '--context', side.contextId as string, '--as', name)).toBe(
        `session ${name} begins with turns 1 to 2 of ${sessionId}\n`,
      );
      expect(await said(await client.resume(name))).toEqual(['shared', 'side']);
      const wire = JSON.parse(await run('fork', sessionId, '--turn', '1', '--ttl', '60', '--json'));
      expect(wire).toMatchObject({ turn: 1, forked_from: { session_id: sessionId } });
      await expect(run('fork', 'missing', '--turn', '1')).rejects.toMatchObject({ code: 'session_not_found' });
    } finally {
      write.mockRestore();
    }
  });
});

describe('fork', () => {
  it('whose answer is lost is found when it is asked for again, not made twice', async () => {
    let losing = true;
    const lossy = new DiscedgeClient({
      nodes: node.url,
      backoffMs: 1,
      userId: 'loser',
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        if (!losing || !input.includes('/fork')) return response;
        losing = false;
        await response.text();
        throw new TypeError('fetch failed');
      },
    });
    const session = lossy.session();
    await session.send('one');
    await session.fork();
    expect(losing).toBe(false);
    expect((await lossy.sessions.list()).sessions).toHaveLength(2);
  });

  it('keeps what was chosen for all turns, and begins where it was told', async () => {
    const session = client.session({ turnOptions: { maxTokens: 3 } });
    await session.send('one');
    await session.send('two');
    const fork = await session.fork({ turn: 1, ttlSeconds: 60 });
    expect(fork.turn).toBe(1);
    const reply = await fork.send('other');
    expect(reply).toMatchObject({ turn: 2, stopType: 'limit', usage: { predictedTokens: 3 } });
    expect(session.turn).toBe(2);
  });

  it('before the first turn has nothing to fork', async () => {
    await expect(client.session().fork()).rejects.toMatchObject({ code: 'invalid_use' });
  });

  it('in the chat goes on in the fork, and keeps to turns that are there', async () => {
    const session = client.session();
    const told: string[] = [];
    const chat = {
      session,
      connectTo: () => client,
      newSession() {},
      quit() {},
      goTo(next: Session) {
        chat.session = next;
      },
      note: (text: string) => void told.push(text),
      warn: (text: string) => void told.push(`! ${text}`),
    };
    await runSlashCommand(chat, '/fork');
    expect(told.at(-1)).toBe('! Nothing has been said yet.');
    await session.send('one');
    await session.send('two');
    for (const wrong of ['3', '0', 'x', '1.5']) {
      await runSlashCommand(chat, `/fork ${wrong}`);
      expect(told.at(-1)).toBe('! Name a turn from 1 to 2: /fork TURN');
    }
    await runSlashCommand(chat, '/fork 1');
    expect(chat.session).not.toBe(session);
    expect(chat.session.turn).toBe(1);
    await runSlashCommand(chat, '/fork');
    expect(chat.session.turn).toBe(1);
  });
});

it('a reply says what was reached, and asks for what it was told to', async () => {
  const bodies: unknown[] = [];
  const asking = new DiscedgeClient({
    nodes: node.url,
    retriesMax: 0,
    fetch: (input, init) => {
      bodies.push(JSON.parse(String(init.body)));
      return fetch(input, init);
    },
  });
  expect(await asking.session().send('x', { writeConcern: 'local' })).toMatchObject({
    writeConcern: 'local',
    replicas: 1,
  });
  const refused = asking.session().send('x', { writeConcern: 'replicated', replicatedWaitMs: 5 });
  await expect(refused).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'write_concern' });
  expect(bodies).toMatchObject([{ write_concern: 'local' }, { write_concern: 'replicated', replicated_wait_ms: 5 }]);
});

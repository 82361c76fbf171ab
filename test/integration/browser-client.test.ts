/**
 * The client SDK in a real browser, in a page of another origin than the nodes': turns, streams, fail-over, cancelling, and a node
 * that does not allow the page. Skipped, with a word, where the machine has no Chromium.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { browserClient } from '../../tools/browser-client.ts';
import { chromiumPath, startChromium } from '../../tools/chromium.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';

const path = chromiumPath();
if (path === undefined) console.warn('no Chromium on this machine: the client is not tried in a browser');

describe.skipIf(path === undefined)('in Chromium', () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  let node: InProcessNode;
  let other: InProcessNode;
  let closed: InProcessNode;

  beforeAll(async () => {
    const { code } = await browserClient();
    server = createServer((request, response) => {
      const isScript = request.url === '/client.js';
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      response.end(isScript ? code : '<!doctype html><title>chat</title>');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const corsOrigins = origin();
    node = await startTestNode({ corsOrigins, nodeId: 'e1' });
    other = await startTestNode({ corsOrigins, nodeId: 'e2' });
    closed = await startTestNode();
    browser = await startChromium(path as string);
  });
  afterAll(async () => {
    await browser?.close();
    server.closeAllConnections();
    await Promise.all([node, other, closed].map((started) => started?.close()));
    await new Promise((resolve) => server.close(resolve));
  });
  beforeEach(async () => {
    page = await browser.newPage();
    await page.goto(origin());
    await page.addScriptTag({
      type: 'module',
      content: "import * as client from '/client.js'; window.discedge = client; document.title = 'ready';",
    });
    await page.waitForFunction("document.title === 'ready'");
  });

  const origin = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  /** Runs a script in the page, with a client of these nodes; what it returns. */
  const inPage = (script: string, nodes: readonly string[]) =>
    page.evaluate(
      `(async () => { const client = new discedge.DiscedgeClient({ nodes: ${JSON.stringify(nodes)}, backoffMs: 1 }); ${script} })()`,
    );

  it('takes turns, streams them, reads them back and goes on from a string', async () => {
    const script = `
      const session = client.session();
      const first = await session.send('hello');
      let pieces = [];
      const stream = client.restore(session.serialize()).stream('and then');
      for await (const piece of stream) pieces.push(piece);
      const reply = await stream.reply;
      await session.refresh();
      const history = await session.history();
      return { first: first.text, pieces: pieces.length, text: pieces.join(''), turn: reply.turn, url: reply.url, users: history.map(({ user }) => user) };`;
    expect(await inPage(script, [node.url])).toEqual({
      first: 'Turn 1: hello',
      pieces: expect.any(Number),
      text: 'Turn 2: and then',
      turn: 2,
      url: node.url,
      users: ['hello', 'and then'],
    });
  });

  it('goes to the next node when one is gone, and finds the nearest', async () => {
    const script = `
      const reply = await client.session().send('hello');
      const found = await client.findNodes({ learn: false });
      return { node: reply.node, last: found.at(-1) };`;
    expect(await inPage(script, ['http://127.0.0.1:1', other.url])).toMatchObject({
      node: 'e2',
      last: { url: 'http://127.0.0.1:1' },
    });
  });

  it('reads an error with its code, and what tells it to ask again', async () => {
    const script = `
      const session = client.session({ sessionId: 'gone', turn: 3, turnOptions: { maxWaitMs: 0 } });
      return session.send('hello').catch(({ name, code, status, requestId }) => ({ name, code, status, requestId }));`;
    expect(await inPage(script, [node.url])).toMatchObject({
      ...{ name: 'DiscedgeClientError', code: 'session_not_found', status: 404 },
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  it('leaves a stream early, and the next turn is the same number', async () => {
    const script = `
      const session = client.session();
      for await (const _ of session.stream('a long one')) break;
      return (await session.send('hello')).turn;`;
    expect([1, 2]).toContain(await inPage(script, [node.url]));
  });

  it('is kept out by a node that does not name its origin', async () => {
    const script = `
      const strict = new discedge.DiscedgeClient({ nodes: ${JSON.stringify(closed.url)}, retriesMax: 0 });
      return strict.session().send('hello').catch(({ code }) => code);`;
    expect(await inPage(script, [node.url])).toBe('node_unreachable');
  });
});

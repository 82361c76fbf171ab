/**
 * The examples that talk OpenAI's API, as a reader would run them: the chat that changes its node, in a process of its own, and the
 * chat page in a headless Chromium, where there is one.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

const folder = temporaryFolder();
const nodes: InProcessNode[] = [];
beforeAll(async () => {
  const [program] = await natsPrograms();
  const ports = [await freePort(), await freePort()];
  for (const index of [0, 1]) {
    nodes.push(
      await startTestNode({
        ...{ llm: undefined, model: 'demo', contextTokens: 1_024, parallel: 1 },
        ...{ nodeId: `e${index + 1}`, store: 'nats', natsProgram: program?.path },
        ...{ natsListen: `127.0.0.1:${ports[index]}`, dataDir: join(folder.path, `e${index + 1}`) },
        ...(index === 1 && { peers: `e1=127.0.0.1:${ports[0]}` }),
      }),
    );
  }
});
afterAll(async () => {
  for (const node of nodes) await node.close();
  folder.remove();
});

it("a chat through OpenAI's client goes on at the next node", async () => {
  const urls = nodes.map(({ url }) => url);
  const args = ['--import', 'tsx', join(ROOT, 'examples/openai-chat.ts'), ...urls];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT });
  expect(stdout.match(/^e\d, turn \d$/gm)).toEqual(['e1, turn 1', 'e2, turn 2', 'e1, turn 3']);
  expect(stdout.split('What is my name?')[1]).toContain('Ada');
});

it.skipIf(CHROMIUM === undefined)(
  'the chat page talks to the node that is chosen, and shows what goes wrong',
  async () => {
    const page = await servedPage(nodes);
    const browser = await chromium.launch({ executablePath: CHROMIUM as string, args: ['--no-sandbox'] });
    try {
      const tab = await browser.newPage({ viewport: { width: 390, height: 700 } });
      const problems: string[] = [];
      tab.on('pageerror', (error) => problems.push(error.message));
      await tab.goto(`${page.url}/?nodes=${page.url}/e1,${page.url}/e2,${page.url}/nobody`);
      const say = async (text: string, node: number) => {
        await tab.getByLabel('Node').selectOption({ index: node });
        await tab.getByLabel('Message').fill(text);
        await tab.getByRole('button', { name: 'Send' }).click();
      };
      const replies = tab.locator('li.assistant');
      await say('My name is Ada.', 0);
      await replies.nth(0).getByText('turn 1 at e1').waitFor();
      await say('What is my name?', 1);
      await replies.nth(1).getByText('turn 2 at e2').waitFor();
      expect(await replies.nth(1).textContent()).toContain('Ada');
      await say('Is anybody there?', 2);
      await tab.locator('li.failed').waitFor();
      await say('And here?', 0);
      await replies.nth(2).getByText('turn 3 at e1').waitFor();
      if (process.env.DISCEDGE_TEST_SCREENSHOT) await tab.screenshot({ path: process.env.DISCEDGE_TEST_SCREENSHOT });
      await tab.getByRole('button', { name: 'New chat' }).click();
      expect(await tab.locator('li').count()).toBe(0);
      expect(problems).toEqual([]);
    } finally {
      await browser.close();
      page.server.closeAllConnections();
      page.server.close();
    }
  },
);

/** The page and the nodes at one origin: e1 and e2 under their names. */
async function servedPage(served: readonly InProcessNode[]): Promise<{ server: Server; url: string }> {
  const html = readFileSync(join(ROOT, 'examples/chat-page/index.html'));
  const server = createServer((incoming, outgoing) => {
    const [, name = '', rest] = /^\/(e\d)(\/.*)$/.exec(incoming.url ?? '') ?? [];
    const node = served[Number(name.slice(1)) - 1];
    if (node === undefined) {
      const isPage = incoming.method === 'GET' && incoming.url?.startsWith('/?') === true;
      const nobody = JSON.stringify({ error: { message: 'nobody is here' } });
      outgoing.writeHead(isPage ? 200 : 404, { 'content-type': isPage ? 'text/html' : 'application/json' });
      outgoing.end(isPage ? html : nobody);
      return;
    }
    const passed = request(`${node.url}${rest}`, { method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(passed);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

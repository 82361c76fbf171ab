/**
 * The examples that talk OpenAI's API, as a reader would run them: the chat, the responses and the agent that change their node, in
 * processes of their own, and the chat page in a headless Chromium, where there is one.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newClusterKey } from '../../src/certificates/cluster-key.ts';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** One that tells of tools; without them its conversations are those of the model's own template. */
const chatTemplateFile = join(ROOT, 'test/support/chat-templates/qwen3.jinja');
const folder = temporaryFolder();
const nodes: InProcessNode[] = [];
beforeAll(async () => {
  const [program] = await natsPrograms();
  const ports = [await freePort(), await freePort()];
  const clusterKeyFile = join(folder.path, 'cluster.key');
  writeFileSync(clusterKeyFile, newClusterKey({ bytes: (length) => new Uint8Array(length).fill(7) }));
  for (const index of [0, 1]) {
    nodes.push(
      await startTestNode({
        ...{ llm: undefined, model: 'demo', contextTokens: 2_048, parallel: 1, clusterKeyFile, chatTemplateFile },
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

async function printed(example: string): Promise<string> {
  const args = ['--import', 'tsx', join(ROOT, 'examples', example), ...nodes.map(({ url }) => url)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT });
  return stdout;
}

it("a chat through OpenAI's client goes on at the next node", async () => {
  const stdout = await printed('openai-chat.ts');
  expect(stdout.match(/^e\d, turn \d$/gm)).toEqual(['e1, turn 1', 'e2, turn 2', 'e1, turn 3']);
  expect(stdout.split('What is my name?')[1]).toContain('Ada');
});

it('responses go on at the next node from the id of the last one', async () => {
  expect((await printed('openai-responses.ts')).split('What is my name?')[1]).toContain('Ada');
});

it('an agent calls its tool at each node, and goes on with what it was answered', async () => {
  const lines = (await printed('openai-agent.ts')).split('\n');
  expect(lines.filter((line) => /^ {2}\[weather in (Paris|Rome)\]$/.test(line))).toHaveLength(2);
  expect(lines[3]).toMatch(/^ {2}\S/);
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

/**
 * A conversation with reasoning that moves between two nodes with every turn, under a template that drops the reasoning of what is
 * past. Tries to find a node that goes on from another context than the other has: a prompt that is not the whole rendering of what
 * was said with the exact ids, whether the context was held, folded from what came over NATS, or folded anew after a restart; more
 * ids evaluated again than the newest exchange; and a fork that is not its source.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commonPrefixLength } from '../../src/domain/token-sequence.ts';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';
import { Conversation, WINDOW } from '../support/composed-contexts.ts';

const SOURCE = readFileSync(fileURLToPath(new URL('../support/chat-templates/qwen3.jinja', import.meta.url)), 'utf8');
const TURNS = 8;
const RESTART_BEFORE = 6;

const folder = temporaryFolder();
const nodes: InProcessNode[] = [];
let start: (index: number) => Promise<InProcessNode>;

beforeAll(async () => {
  const [program] = await natsPrograms();
  const chatTemplateFile = join(folder.path, 'template.jinja');
  writeFileSync(chatTemplateFile, SOURCE);
  const ports = [await freePort(), await freePort()];
  start = (index) =>
    startTestNode({
      ...{
        nodeId: `e${index + 1}`,
        store: 'nats',
        natsProgram: program?.path,
        natsListen: `127.0.0.1:${ports[index]}`,
      },
      ...{ llm: undefined, model: 'demo', contextTokens: WINDOW, parallel: 1, chatTemplateFile },
      ...{ dataDir: join(folder.path, `e${index + 1}`) },
      ...(index === 1 && { peers: `e1=127.0.0.1:${ports[0]}` }),
    });
  nodes.push(await start(0), await start(1));
});
afterAll(async () => {
  for (const node of nodes) await node.close();
  folder.remove();
});

test('is the same at every node, and only its newest exchange is evaluated again', async () => {
  const [e1, e2] = nodes as [InProcessNode, InProcessNode];
  const { bos_token: bosText, eos_token: eosText } = (await e1.get('/props')).body;
  const conversation = new Conversation(e1, { source: SOURCE, bosText, eosText });
  let contextId: string | undefined;
  for (let turn = 1; turn <= TURNS; turn++) {
    if (turn === RESTART_BEFORE) {
      await e2.close();
      nodes[1] = await start(1);
    }
    const node = nodes[turn % 2] as InProcessNode;
    const opening = turn === 1 ? { system: 'Be brief.' } : { context_id: contextId };
    const fields = { session_id: 'roams', turn, ...opening, max_wait_ms: 30_000 };
    const reply = await conversation.turn(fields, true, node);
    expect(reply).toMatchObject({ turn, node: `e${(turn % 2) + 1}`, replayed: false, based_on_turn: turn - 1 });
    contextId = reply.context_id;
    const { prompt, last } = conversation;
    expect(reply.tokens_evaluated).toBe(prompt.length);
    expect(reply.tokens_rewritten).toBe(last.length - commonPrefixLength(last, prompt));
    if (turn > 1) {
      expect(reply.tokens_rewritten).toBeGreaterThan(0);
      expect(reply.tokens_rewritten).toBeLessThanOrEqual(conversation.sizeOfNewest(1));
    }
  }

  const fork = await (nodes[0] as InProcessNode).post('/sessions/roams/fork', { turn: TURNS, session_id: 'forked' });
  expect(fork.status).toBe(200);
  const next = { turn: TURNS + 1, prompt: 'And now?', n_predict: 8, temperature: 0, max_wait_ms: 30_000 };
  const original = await (nodes[0] as InProcessNode).turn({ ...next, session_id: 'roams' });
  const forked = await (nodes[1] as InProcessNode).turn({ ...next, session_id: 'forked' });
  const { tokens_evaluated, tokens_rewritten } = original;
  expect(forked).toMatchObject({ tokens_evaluated, tokens_rewritten });
  expect(tokens_rewritten).toBeGreaterThan(0);
});

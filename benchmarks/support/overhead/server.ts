// The process that bench:overhead and bench:openai measure, started by them: an edge node, or the bare HTTP server of the same framework that
// parses a turn and answers with a reply of the same size. Tells its parent where it listens, and what it has used when asked.
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import { loadConfig } from '../../../src/config/config.ts';
import { startEdgeNode } from '../../../src/edge-node/edge-node.ts';
import { nodeEnvironment } from '../../../src/environment/node-environment.ts';
import { constantLlm } from '../constant-llm.ts';
import type { ServerOptions } from './measured-server.ts';

const { store, llm, dataDir } = JSON.parse(process.argv[2] as string) as ServerOptions;

async function listenBare(): Promise<number> {
  const app = Fastify();
  const content = 'reply '.repeat(22).slice(0, 127);
  let turn = 0;
  const padding = 'x'.repeat(560);
  const chat = {
    ...{ id: 'chatcmpl-bare', object: 'chat.completion', padding },
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'length' }],
  };
  app.post('/v1/chat/completions', async () => chat);
  app.post('/v1/responses', async () => ({ ...chat, id: `resp_${++turn}` }));
  app.post('/completion', async () => ({
    content,
    session_id: 'bare',
    turn: ++turn,
    context_id: '0'.repeat(32),
    padding,
  }));
  await app.listen({ host: '127.0.0.1', port: 0 });
  return (app.server.address() as AddressInfo).port;
}

async function listenNode(): Promise<number> {
  const flags = {
    ...(store === 'memory' && { store }),
    dataDir,
    listen: '127.0.0.1:0',
    nodeId: 'bench',
    logLevel: 'error',
    llm: llm ?? 'scripted',
    storeBytesMax: '16GiB',
  };
  const constant = constantLlm(nodeEnvironment({ logLevel: 'error', nodeId: 'bench' }));
  const node = await startEdgeNode(loadConfig({ flags, env: {} }), llm === undefined ? { llm: constant } : {});
  return node.address.port;
}

const port = await (store === undefined ? listenBare() : listenNode());
process.send?.({ port });
process.on('message', () => {
  const { userCPUTime, systemCPUTime, fsWrite } = process.resourceUsage();
  process.send?.({ cpuMs: (userCPUTime + systemCPUTime) / 1000, writtenBytes: fsWrite * 512 });
});

// The process that bench:overhead measures, started by it: an edge node with a constant LLM, or the bare HTTP server of
// the same framework that parses a turn and answers with a reply of the same size. Tells its parent where it listens,
// and its memory when asked.
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import { loadConfig } from '../../src/config/config.ts';
import { startEdgeNode } from '../../src/edge-node/edge-node.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { constantLlm } from './constant-llm.ts';

const [variant, dataDir] = process.argv.slice(2) as ['bare' | 'memory' | 'lmdb', string];

async function listenBare(): Promise<number> {
  const app = Fastify();
  const content = 'reply '.repeat(22).slice(0, 127);
  let turn = 0;
  const padding = 'x'.repeat(560);
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

async function listenNode(store: 'memory' | 'lmdb'): Promise<number> {
  const flags = {
    store,
    dataDir,
    listen: '127.0.0.1:0',
    nodeId: 'bench',
    logLevel: 'error',
    llm: 'scripted',
    storeBytesMax: '16GiB',
  };
  const llm = constantLlm(nodeEnvironment({ logLevel: 'error', nodeId: 'bench' }));
  const node = await startEdgeNode(loadConfig({ flags, env: {} }), { llm });
  return node.address.port;
}

const port = await (variant === 'bare' ? listenBare() : listenNode(variant));
process.send?.({ port });
process.on('message', () => process.send?.({ rssBytes: process.memoryUsage.rss() }));

// The process that bench:overhead, bench:openai and bench:protection measure, started by them: an edge node, a bare relay of the same framework, or its bare HTTP
// server that parses a turn and answers with a reply of the same size. Tells its parent where it listens, and what it has used when asked.
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import { loadConfig } from '../../../src/config/config.ts';
import { startEdgeNode } from '../../../src/edge-node/edge-node.ts';
import { nodeEnvironment } from '../../../src/environment/node-environment.ts';
import { constantLlm } from '../constant-llm.ts';
import type { ServerOptions } from './measured-server.ts';
import { listenRelay } from './relay.ts';

const { store, llm, dataDir, settings } = JSON.parse(process.argv[2] as string) as ServerOptions;

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

async function listenNode(): Promise<number> {
  const flags = {
    ...(store === 'memory' && { store }),
    dataDir,
    listen: '127.0.0.1:0',
    nodeId: 'bench',
    logLevel: 'error',
    llm: llm ?? 'scripted',
    storeBytesMax: '16GiB',
    ...settings,
  };
  const constant = constantLlm(nodeEnvironment({ logLevel: 'error', nodeId: 'bench' }));
  const node = await startEdgeNode(loadConfig({ flags, env: {} }), llm === undefined ? { llm: constant } : {});
  return node.address.port;
}

async function listen(): Promise<number> {
  if (store !== undefined) return listenNode();
  return llm === undefined ? listenBare() : listenRelay(llm);
}

const port = await listen();
process.send?.({ port });
process.on('message', () => {
  const { userCPUTime, systemCPUTime, fsWrite } = process.resourceUsage();
  process.send?.({ cpuMs: (userCPUTime + systemCPUTime) / 1000, writtenBytes: fsWrite * 512 });
});

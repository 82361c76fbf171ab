import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newClusterKey } from '../../src/certificates/cluster-key.ts';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { type InProcessNode, startTestNode } from '../../tools/test-node.ts';
import { type RecordingProxy, recordingProxy } from './recording-proxy.ts';

export type Engine = 'embedded' | 'llama-server';
export const ENGINES: readonly Engine[] = ['embedded', 'llama-server'];

export interface TwoNodes {
  /** Of `/v1` at one or the other: even and odd numbers are different nodes. */
  baseURL(index: number): string;
  node(index: number): InProcessNode;
  /** How often an LLM was asked for a reply since the nodes were started. */
  llmCalls(): Promise<number>;
  close(): Promise<void>;
}

const WINDOW = 2048;
/** How long a node waits for what the other has: how long that takes is not what is tried. */
const MAX_WAIT_MS = 20_000;

/** Two nodes that share contexts and the key of their ids, with the demo model in process or in one stock llama-server. */
export async function startTwoNodes(
  engine: Engine,
  {
    template,
    flags = {},
    flagsOf = () => ({}),
  }: {
    readonly template?: string;
    readonly flags?: object;
    /** What only one of them has, by its index. */
    readonly flagsOf?: (index: number) => object;
  } = {},
): Promise<TwoNodes> {
  const folder = temporaryFolder();
  const nodes: InProcessNode[] = [];
  let server: RunningServer | undefined;
  let between: RecordingProxy | undefined;
  const close = async () => {
    for (const node of nodes) await node.close();
    await between?.close();
    await server?.stop();
    folder.remove();
  };
  try {
    let llm: object = { llm: undefined, model: 'demo', contextTokens: WINDOW, parallel: 1 };
    if (engine === 'llama-server') {
      server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: WINDOW, slots: 2 });
      between = await recordingProxy(server.url);
      llm = { llm: between.url };
    }
    const [program] = await natsPrograms();
    const ports = [await freePort(), await freePort()];
    const [clusterKeyFile, chatTemplateFile] = [join(folder.path, 'cluster.key'), join(folder.path, 'template.jinja')];
    writeFileSync(clusterKeyFile, newClusterKey({ bytes: (length) => new Uint8Array(length).fill(7) }));
    if (template !== undefined) writeFileSync(chatTemplateFile, template);
    for (const index of [0, 1]) {
      nodes.push(
        await startTestNode({
          ...{ ...llm, ...(template !== undefined && { chatTemplateFile }), modelName: 'demo' },
          ...{ nodeId: `e${index + 1}`, store: 'nats', natsProgram: program?.path, clusterKeyFile },
          ...{ natsListen: `127.0.0.1:${ports[index]}`, dataDir: join(folder.path, `e${index + 1}`) },
          ...(index === 1 && { peers: `e1=127.0.0.1:${ports[0]}` }),
          // What is evaluated ahead of need is asked of the server, too, and is no reply.
          ...{ maxWaitMs: MAX_WAIT_MS, warming: 'off', ...flags, ...flagsOf(index) },
        }),
      );
    }
  } catch (error) {
    await close();
    throw error;
  }
  const node = (index: number) => nodes[index % 2] as InProcessNode;
  const asked = between;
  // What a node asks at its start belongs to no turn.
  const before = asked?.prompts.length ?? 0;
  return {
    node,
    baseURL: (index) => `${node(index).url}/v1`,
    llmCalls: async () => (asked === undefined ? await turnsOf(nodes) : asked.prompts.length - before),
    close,
  };
}

/** Turns that were not answered from their records. */
async function turnsOf(nodes: readonly InProcessNode[]): Promise<number> {
  const texts = await Promise.all(nodes.map(async (node) => (await node.get('/metrics')).text));
  const counts = texts.map((text) => Number(/^discedge_turns_total\{[^}]*outcome="ok"\} (\d+)/m.exec(text)?.[1] ?? 0));
  return counts.reduce((sum, count) => sum + count, 0);
}

import { join } from 'node:path';
import { type NodeProcess, startNodeProcess } from '../../../tools/node-process.ts';
import { natsPrograms } from '../../../tools/real-servers/nats-programs.ts';

/** Edge nodes on this machine, each with a nats-server of its own, that share their sessions. */
export class SharingNodes {
  readonly #folder: string;
  readonly #nodes: NodeProcess[] = [];
  /** How the first one is named as a peer of the others. */
  #first: string | undefined;

  /** Their data goes below `folder`, which is the caller's to remove. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Starts one more; it gets to know the others through the first. */
  async add(nodeId: string, flags: readonly string[]): Promise<NodeProcess> {
    const program = (await natsPrograms())[0]?.path as string;
    const peers = this.#first === undefined ? [] : ['--peers', this.#first];
    const node = await startNodeProcess([
      ...['--node-id', nodeId, '--data-dir', join(this.#folder, nodeId)],
      ...['--store', 'nats', '--nats-program', program, '--nats-listen', '127.0.0.1:0', ...peers, ...flags],
    ]);
    this.#nodes.push(node);
    this.#first ??= `${nodeId}=${await natsAddress(node)}`;
    return node;
  }

  /** Resolves when each is connected to every other. */
  async connected(): Promise<void> {
    for (const node of this.#nodes) {
      while ((await connectedPeers(node)) < this.#nodes.length - 1) await new Promise(setImmediate);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.process.stop()));
  }
}

async function connectedPeers(node: NodeProcess): Promise<number> {
  const nodes: readonly { readonly state: string }[] = (await node.get('/nodes')).body.nodes;
  return nodes.filter(({ state }) => state === 'connected').length;
}

async function natsAddress(node: NodeProcess): Promise<string> {
  return new URL((await node.get('/nodes')).body.nodes[0].nats_url).host;
}

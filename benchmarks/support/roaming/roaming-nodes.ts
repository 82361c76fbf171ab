import type { NodeProcess } from '../../../tools/node-process.ts';
import { MOVEMENTS, nodeIdOf } from '../../../tools/roaming-simulation/movement.ts';
import { SharingNodes } from '../handover/sharing-nodes.ts';
import type { RoamingPolicy, RoamingWorkload } from './roaming-workload.ts';

/** What the KV state of the demo model takes, as its state files show. */
const STATE_BYTES_AN_ID = 3_072;
const PARALLEL = 2;
const WINDOW_IDS = 2_048;

export interface RoamingNodesOptions {
  readonly movement: RoamingWorkload['movement'];
  readonly policy: RoamingPolicy;
  /** Sessions of a mean length whose KV state each node has room for, in sequences and files together. */
  readonly roomSessions: number;
  readonly meanIds: number;
}

/** Ids evaluated ahead of need since the nodes' start. */
export interface WarmedIds {
  readonly warmedIds: number;
  readonly usedIds: number;
}

interface WireCounts {
  readonly tokens_warmed: number;
  readonly tokens_used: number;
}

/** As many edge nodes as a movement has places, with the demo model in each, one compute thread, two sequences. */
export class RoamingNodes {
  readonly #sharing: SharingNodes;
  readonly #nodes: NodeProcess[] = [];

  private constructor(sharing: SharingNodes) {
    this.#sharing = sharing;
  }

  /** Their data goes below `folder`, which is the caller's to remove. Resolves when each is connected to every other. */
  static async start(folder: string, options: RoamingNodesOptions): Promise<RoamingNodes> {
    const { policy, roomSessions, meanIds } = options;
    const movement = MOVEMENTS[options.movement];
    const nodes = new RoamingNodes(new SharingNodes(folder));
    const kvBytes = Math.max(0, roomSessions - PARALLEL) * meanIds * STATE_BYTES_AN_ID;
    try {
      for (let node = 0; node < movement.nodes; node++) {
        const { latitude, longitude } = movement.location(node);
        const flags = [
          ...['--threads', '1', '--parallel', `${PARALLEL}`, '--context-tokens', `${WINDOW_IDS}`],
          ...['--kv-budget-bytes', `${kvBytes}`, '--location', `${latitude.toFixed(6)},${longitude.toFixed(6)}`],
          ...['--warming', policy === 'client-side' ? 'off' : policy],
        ];
        nodes.#nodes.push(await nodes.#sharing.add(nodeIdOf(node), flags));
      }
      await nodes.#sharing.connected();
    } catch (error) {
      await nodes.stop();
      throw error;
    }
    return nodes;
  }

  get urls(): readonly string[] {
    return this.#nodes.map(({ url }) => url);
  }

  at(node: number): NodeProcess {
    return this.#nodes[node] as NodeProcess;
  }

  /** Of all nodes together; 0 where nothing is warmed. */
  async warmed(): Promise<WarmedIds> {
    const answers = await Promise.all(this.#nodes.map((node) => node.get('/nodes')));
    const counts: readonly WireCounts[] = answers.flatMap(({ body }) => body.nodes[0].warming ?? []);
    const sum = (of: keyof WireCounts) => counts.reduce((total, count) => total + count[of], 0);
    return { warmedIds: sum('tokens_warmed'), usedIds: sum('tokens_used') };
  }

  stop(): Promise<void> {
    return this.#sharing.stop();
  }
}

import type { Chance } from '../chance.ts';
import type { Abilities, FaultCluster } from './cluster.ts';
import type { ClusterNode } from './cluster-node.ts';
import { letInHostileGuest } from './hostile-guest.ts';
import { CUT } from './network.ts';
import type { Observations } from './observations.ts';
import { watchDeath } from './watch-death.ts';

export interface FaultContext {
  readonly cluster: FaultCluster;
  readonly chance: Chance;
  /** To whom it happens. */
  readonly node: ClusterNode;
  readonly observations: Observations;
  /** How long the fault lasts. */
  readonly holdMs: number;
  /** Resolves when everything is on every node, as it must be before a disk may be lost once more. */
  readonly settled: () => Promise<void>;
  /** Nobody asks the node any more, all that it has written is on every other node, and that stays so until `undo`. */
  readonly drain: (node: ClusterNode) => Promise<{ undo(): void }>;
  /** A session of which a guest may write one turn. */
  readonly guestSession: () => { readonly sessionId: string; readonly userId: string };
  readonly note: (what: string) => void;
}

export interface Fault {
  readonly name: string;
  /** What the machine must allow. */
  readonly needs?: keyof Abilities;
  /** Needs the other nodes in good health. */
  readonly isAlone?: boolean;
  /** Leaves the cluster other than it was, so nothing comes after it. */
  readonly isLast?: boolean;
  /** Does the harm, waits, and mends it; resolves when everything runs again. */
  readonly run: (context: FaultContext) => Promise<void>;
}

const hold = (holdMs: number) => new Promise((resolve) => setTimeout(resolve, holdMs));
const MINUTE_MS = 60_000;
const FLAP_MS_MAX = 1_000;
const SKEW_MINUTES_MAX = 10;

/** Each kind of fault, once. What a wiped node has to get back grows with the run: that one comes first. */
export const FAULTS: readonly Fault[] = [
  {
    name: 'a node is wiped',
    isAlone: true,
    run: async ({ settled, drain, note, node }) => {
      note(node.id);
      await settled();
      const drained = await drain(node);
      try {
        await Promise.all([node.signalServer('SIGKILL'), node.kill()]);
        node.wipe();
        await node.start();
      } finally {
        drained.undo();
      }
    },
  },
  {
    name: 'a node dies under load, and its nats-server with it',
    isAlone: true,
    run: async ({ holdMs, observations, note, node }) => {
      const death = watchDeath(node.url, observations);
      await Promise.all([node.signalServer('SIGKILL'), node.kill()]);
      await hold(holdMs);
      note(`${node.id}: ${death.account()}`);
      await node.start();
    },
  },
  {
    name: 'kill -9 of a node alone',
    run: async ({ holdMs, note, node }) => {
      note(node.id);
      await node.kill();
      await hold(holdMs);
      await node.start();
    },
  },
  {
    name: "kill -9 of a node's nats-server",
    run: async ({ holdMs, note, node }) => {
      note(node.id);
      await node.signalServer('SIGKILL');
      await hold(holdMs);
    },
  },
  {
    name: 'a node hangs (SIGSTOP)',
    run: async ({ holdMs, note, node }) => {
      note(node.id);
      node.signal('SIGSTOP');
      await hold(holdMs);
      node.signal('SIGCONT');
    },
  },
  {
    name: "a node's nats-server hangs (SIGSTOP)",
    run: async ({ holdMs, note, node }) => {
      note(node.id);
      await node.signalServer('SIGSTOP');
      await hold(holdMs);
      await node.signalServer('SIGCONT');
    },
  },
  {
    name: 'a link is cut',
    needs: 'network',
    run: async ({ cluster, chance, holdMs, note, node }) => {
      const other = chance.of(others(cluster, node));
      note(`${node.id} and ${other.id}`);
      await cluster.network?.setBoth(cluster.endOf(node), cluster.endOf(other), CUT);
      await hold(holdMs);
      await cluster.network?.heal();
    },
  },
  {
    name: 'a node is cut off from all peers',
    needs: 'network',
    run: async ({ cluster, holdMs, note, node }) => {
      note(node.id);
      for (const other of others(cluster, node))
        await cluster.network?.setBoth(cluster.endOf(node), cluster.endOf(other), CUT);
      await hold(holdMs);
      await cluster.network?.heal();
    },
  },
  {
    name: 'a link is cut in one direction',
    needs: 'network',
    run: async ({ cluster, chance, holdMs, note, node }) => {
      const other = chance.of(others(cluster, node));
      note(`from ${node.id} to ${other.id}`);
      await cluster.network?.set(cluster.endOf(node), cluster.endOf(other), CUT);
      await hold(holdMs);
      await cluster.network?.heal();
    },
  },
  {
    name: 'a link comes and goes',
    needs: 'network',
    run: async ({ cluster, chance, holdMs, note, node }) => {
      const other = chance.of(others(cluster, node));
      note(`${node.id} and ${other.id}`);
      for (const endMs = performance.now() + holdMs; performance.now() < endMs; ) {
        await cluster.network?.setBoth(cluster.endOf(node), cluster.endOf(other), CUT);
        await hold(chance.below(FLAP_MS_MAX));
        await cluster.network?.heal();
        await hold(chance.below(FLAP_MS_MAX));
      }
    },
  },
  {
    name: '300 ms delay and 5 % loss',
    needs: 'network',
    run: async ({ cluster, holdMs, note, node }) => {
      note(`all links of ${node.id}`);
      for (const other of others(cluster, node))
        await cluster.network?.setBoth(cluster.endOf(node), cluster.endOf(other), { delayMs: 300, loss: 0.05 });
      await hold(holdMs);
      await cluster.network?.heal();
    },
  },
  {
    name: 'a disk is full',
    needs: 'disks',
    run: async ({ holdMs, note, node }) => {
      note(node.id);
      node.fillDisk();
      await hold(holdMs);
      node.freeDisk();
      if (!node.isRunning) await node.start();
    },
  },
  {
    name: 'clocks are minutes apart',
    needs: 'clocks',
    run: async ({ chance, holdMs, note, node }) => {
      const minutes = (1 + chance.below(SKEW_MINUTES_MAX)) * chance.of([1, -1]);
      note(`${node.id} by ${minutes} minutes`);
      node.skewClock(minutes * MINUTE_MS);
      await hold(holdMs);
      node.skewClock(0);
    },
  },
  {
    name: 'a clock is a day ahead, or in 1970',
    needs: 'clocks',
    run: async ({ chance, holdMs, note, node }) => {
      const aheadMs = chance.of([25 * 60 * MINUTE_MS, -25 * 60 * MINUTE_MS, -Date.now()]);
      // The certificates of a run are valid for a day: nothing starts after it.
      const restarts = aheadMs < 0 && chance.of([true, false]);
      note(`${node.id} by ${Math.round(aheadMs / MINUTE_MS)} minutes${restarts ? ', and it starts with that' : ''}`);
      node.skewClock(aheadMs);
      if (restarts) {
        await node.kill();
        await node.start();
      }
      await hold(holdMs);
      node.skewClock(0);
    },
  },
  {
    name: 'a JetStream folder is wiped',
    run: async ({ note, node }) => {
      note(node.id);
      await Promise.all([node.signalServer('SIGKILL'), node.kill()]);
      node.wipeJetStream();
      await node.start();
    },
  },
  {
    name: 'a JetStream folder is wiped under a running node',
    run: async ({ holdMs, note, node }) => {
      note(node.id);
      await node.signalServer('SIGKILL');
      node.wipeJetStream();
      await hold(holdMs);
    },
  },
  {
    name: 'a node is wiped without warning',
    isAlone: true,
    run: async ({ settled, observations, node, note }) => {
      note(node.id);
      await settled();
      await Promise.all([node.signalServer('SIGKILL'), node.kill()]);
      observations.wiped(node.id);
      node.wipe();
      await node.start();
    },
  },
  {
    name: 'all nodes are restarted, one after the other',
    isAlone: true,
    run: async ({ cluster }) => {
      for (const node of cluster.nodes) {
        await node.stop();
        await node.start();
      }
    },
  },
  {
    name: 'a peer sends corrupt, oversized and foreign records',
    isAlone: true,
    isLast: true,
    run: async ({ cluster, chance, guestSession, note }) => {
      const refused = await letInHostileGuest(cluster, {
        knownTo: chance.of(cluster.nodes),
        goodSession: guestSession(),
      });
      note(
        `refused ${Object.entries(refused)
          .map(([reason, count]) => `${count} ${reason}`)
          .join(', ')}`,
      );
    },
  },
];

function others(cluster: FaultCluster, node: ClusterNode): ClusterNode[] {
  return cluster.nodes.filter((other) => other !== node);
}

import { ContextManager } from '../../src/context-manager/context-manager.ts';
import { NodeResources } from '../../src/context-manager/node-resources.ts';
import type { TurnArbiter } from '../../src/context-store/turn-arbitration.ts';
import type { Incarnation, NodeId } from '../../src/domain/identifiers.ts';
import type { ContextMode } from '../../src/domain/record/turn-record.ts';
import { nodeTimeOver, timedEnvironment } from '../../src/edge-node/time/timed-environment.ts';
import type { ChatTemplate } from '../../src/llm-service/chat-template.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';
import type { Chance } from '../../tools/chance.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../tools/virtual-environment.ts';
import { type AskedNode, simulatedArbitration } from './simulated-arbitration.ts';
import { SimulatedReplica } from './simulated-replica.ts';

export interface SimulatedNode {
  readonly name: string;
  readonly replica: SimulatedReplica;
  readonly manager: ContextManager;
  /** What it answers the others. */
  readonly arbiter: TurnArbiter | undefined;
  /** Its disk is gone, and whatever it would still say is not heard. */
  dead: boolean;
}

/** Half of how far clocks differ where nobody keeps them. */
const SKEW_MS = 5 * 60_000;

/** One of several nodes, with a clock, a default mode and a turn gate of its own. */
export function startSimulatedNode(
  name: string,
  incarnation: string,
  parts: {
    environment: VirtualEnvironment;
    llm: LlmService;
    template: ChatTemplate;
    chance: Chance;
    others: () => readonly SimulatedNode[];
    isOpen: (from: string, to: string) => boolean;
    isRestart?: boolean;
  },
): SimulatedNode {
  const { llm, template, chance, others, isOpen, isRestart = false } = parts;
  const { clock, random, logger } = parts.environment;
  const skewMs = chance.below(2 * SKEW_MS) - SKEW_MS;
  const { metrics } = virtualEnvironment();
  const skewed = { clock: { ...clock, now: () => clock.now() + skewMs }, random, logger, metrics };
  const settings = { clockToleranceMs: 60_000, ttlSecondsMax: 1e6, kept: undefined, isShared: false };
  const time = nodeTimeOver(skewed.clock, settings);
  const environment = timedEnvironment(skewed, time);
  const asked = (other: SimulatedNode): AskedNode => ({
    name: other.name,
    arbiter: () => other.arbiter,
    held: () => other.replica.held.values(),
    isDead: () => other.dead,
  });
  let arbiter: TurnArbiter | undefined;
  const arbitration = simulatedArbitration(
    { name, arbiter: () => arbiter, held: () => [], isDead: () => started.dead },
    {
      environment,
      chance,
      others: () =>
        others()
          .filter((other) => other.name !== name)
          .map(asked),
      isOpen,
      serve: (served) => {
        arbiter = served;
      },
      receive: (sealed) => replica.receive(sealed),
    },
  );
  const replica = new SimulatedReplica(environment, arbitration);
  const defaultMode = chance.of<ContextMode>(['tokenized', 'raw']);
  const node = new NodeResources({
    store: replica,
    environment,
    time,
    isRestart,
    options: {
      nodeId: name as NodeId,
      incarnation: incarnation as Incarnation,
      turnGate: chance.of(['event', 'fixed']),
      turnGateRetriesMax: 3,
      turnGateBackoffMs: 10,
      ttlSeconds: 1e6,
      ttlSecondsMax: 1e6,
      sessionQueueMax: 64,
      turnsInFlightMax: 1000,
      // Room for about two short sessions, so that some are always evicted.
      contextCacheBytes: 30_000,
      replyTokensDefault: 4096,
      replyTokensMax: 4096,
      finishAbandonedMs: 2000,
      arbiterWaitMs: 50,
      warming: 'all',
      warmingChancePercent: 40,
      warmingIdsPerSecond: undefined,
      warmingKvBytes: undefined,
    },
  });
  const manager = new ContextManager({ llm, template, node, defaultMode });
  const started: SimulatedNode = { name, replica, manager, arbiter, dead: false };
  return started;
}

import type {
  GrantNews,
  TurnArbiter,
  TurnArbitration,
  TurnAttempt,
  TurnVerdict,
} from '../../src/context-store/turn-arbitration.ts';
import { type NodeId, type SessionKey, sessionKeyText } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { sessionKeyOf } from '../../src/domain/record/turn-record.ts';
import { pause } from '../../src/waiting/pause.ts';
import { within } from '../../src/waiting/within.ts';
import type { Chance } from '../../tools/chance.ts';
import type { VirtualEnvironment } from '../../tools/virtual-environment.ts';

/** How a node is reached by the others' questions. */
export interface AskedNode {
  readonly name: string;
  readonly arbiter: () => TurnArbiter | undefined;
  readonly held: () => Iterable<SealedRecord>;
  readonly isDead: () => boolean;
}

const ONE_WAY_MS_MAX = 4;

/** Carries nodes' questions about turns over links that are open both ways at that moment. */
export function simulatedArbitration(
  self: AskedNode,
  parts: {
    readonly environment: Pick<VirtualEnvironment, 'clock'>;
    readonly chance: Chance;
    readonly others: () => readonly AskedNode[];
    readonly isOpen: (from: string, to: string) => boolean;
    readonly serve: (arbiter: TurnArbiter) => void;
    readonly receive: (sealed: SealedRecord) => Promise<void>;
  },
): TurnArbitration {
  const { chance, others, isOpen, receive } = parts;
  const { clock } = parts.environment;
  const oneWay = () => pause(clock, chance.below(ONE_WAY_MS_MAX));
  const reach = (nodeId: NodeId): AskedNode | undefined => {
    const node = others().find(({ name }) => name === nodeId);
    const isThere = node !== undefined && !node.isDead() && !self.isDead();
    return isThere && isOpen(self.name, node.name) && isOpen(node.name, self.name) ? node : undefined;
  };
  const never = new Promise<never>(() => {});

  async function answerOf(nodeId: NodeId, attempt: TurnAttempt): Promise<TurnVerdict> {
    await oneWay();
    const verdict = await (reach(nodeId)
      ?.arbiter()
      ?.answer(attempt, self.name as NodeId) ?? never);
    await oneWay();
    const node = reach(nodeId);
    if (node === undefined) return never;
    if (verdict.kind === 'answered') {
      const isOfSession = ({ record }: SealedRecord) => isSame(sessionKeyOf(record), attempt.key);
      for (const sealed of [...node.held()].filter(isOfSession)) await receive(sealed);
    }
    return verdict;
  }

  return {
    // A link that is cut is known to be in half of the cases, as before that has been noticed.
    nodes: () =>
      others().map(({ name }) => ({
        nodeId: name as NodeId,
        isReachable: reach(name as NodeId) !== undefined || chance.oneIn(2),
      })),
    ask: (nodeId, attempt, { patienceMs }) =>
      within<TurnVerdict, undefined>(
        { clock, waitMs: patienceMs + 2 * ONE_WAY_MS_MAX },
        answerOf(nodeId, attempt),
        () => undefined,
      ),
    tell(nodeId, attempt: TurnAttempt, news: GrantNews) {
      void oneWay().then(() =>
        reach(nodeId)
          ?.arbiter()
          ?.note(attempt, self.name as NodeId, news),
      );
    },
    serve: parts.serve,
  };
}

function isSame(a: SessionKey, b: SessionKey): boolean {
  return sessionKeyText(a) === sessionKeyText(b);
}

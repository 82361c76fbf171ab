import { setTimeout as pause } from 'node:timers/promises';
import { type Completion, DiscedgeClient, type ReplyStream } from '../../../src/client/client.ts';
import { Chance } from '../../../tools/chance.ts';
import { MOVEMENTS, nodeIdOf } from '../../../tools/roaming-simulation/movement.ts';
import { textOfIds } from '../handover/text-of-ids.ts';
import { timedReply } from '../handover/timed-turn.ts';
import type { RoamingNodes } from './roaming-nodes.ts';
import type { Range, RoamingPolicy, RoamingWorkload, TakenTurn, TurnKind } from './roaming-workload.ts';

/** Of the replies: enough to be one, and little beside the context. */
const REPLY_TOKENS = 16;
/** Clients draw apart: none begins as another does. */
const CLIENTS_MAX = 1_000;
const QUESTIONS = [
  'My code word is copper. What did I say before it?',
  'Which of those words came first, and how many were there?',
  'Thank you. I live in Potsdam. Where do I live?',
  'What is my code word, and which word came last?',
] as const;

/** All clients of the workload, side by side, to the end of their last sessions. */
export async function roam(nodes: RoamingNodes, workload: RoamingWorkload, policy: RoamingPolicy) {
  const each = Array.from({ length: workload.clients }, (_, client) => roamAlone(nodes, workload, policy, client));
  return (await Promise.all(each)).flat();
}

async function roamAlone(
  nodes: RoamingNodes,
  workload: RoamingWorkload,
  policy: RoamingPolicy,
  client: number,
): Promise<TakenTurn[]> {
  const movement = MOVEMENTS[workload.movement];
  const seed = workload.seed * CLIENTS_MAX + client;
  const chance = new Chance(seed);
  const draw = ([least, most]: Range) => least + chance.below(most - least + 1);
  const taken: TakenTurn[] = [];
  let place = { node: chance.below(movement.nodes), heading: 1, turnsHere: 1 };
  for (let session = 0; session < workload.sessions; session++) {
    const conversation = open(nodes.urls, policy);
    const opening = await textOfIds(nodes.at(place.node), draw(workload.openingIds), seed * CLIENTS_MAX + session);
    const turns = draw(workload.turns);
    let contextIds = 0;
    let lastNode: number | undefined;
    for (let turn = 1; turn <= turns; turn++) {
      await pause(draw(workload.thinkMs));
      const message = turn === 1 ? opening : (QUESTIONS[turn % QUESTIONS.length] as string);
      const nextNodes = policy === 'hinted' ? [nodeIdOf(movement.likeliest(place))] : [];
      const ask = () => conversation.ask(nodes.at(place.node).url, message, nextNodes);
      const { firstTextMs, reply } = await timedReply(ask);
      const { cachedTokens: cachedIds, evaluatedTokens: evaluatedIds, predictedTokens } = reply.usage;
      taken.push({ kind: kindOf(lastNode, place.node), firstTextMs, contextIds, cachedIds, evaluatedIds });
      contextIds = cachedIds + evaluatedIds + predictedTokens;
      lastNode = place.node;
      place = movement.next(place, chance);
    }
    await pause(draw(workload.thinkMs));
  }
  return taken;
}

function kindOf(lastNode: number | undefined, node: number): TurnKind {
  if (lastNode === undefined) return 'opens';
  return lastNode === node ? 'stays' : 'moves';
}

interface RoamingConversation {
  ask(url: string, message: string, nextNodes: readonly string[]): ReplyStream<Completion>;
}

function open(nodes: readonly string[], policy: RoamingPolicy): RoamingConversation {
  const client = new DiscedgeClient({ nodes });
  const turnOptions = { maxTokens: REPLY_TOKENS, temperature: 0 };
  if (policy === 'client-side') {
    const history = client.ownHistory({ turnOptions });
    return {
      ask(url, message) {
        history.moveTo(url);
        return history.stream(message);
      },
    };
  }
  const session = client.session({ turnOptions });
  return {
    ask(url, message, nextNodes) {
      session.moveTo(url);
      return session.stream(message, { nextNodes });
    },
  };
}

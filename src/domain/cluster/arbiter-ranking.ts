import { createHash } from 'node:crypto';
import { compareUtf8 } from '../bytes.ts';
import { type NodeId, type SessionKey, sessionKeyText } from '../identifiers.ts';

/**
 * In which order nodes are asked to arbitrate a session's turns where no record names one: by highest hash of session and
 * node (rendezvous hashing, Thaler and Ravishankar 1998), so that a node that comes or goes changes the first of few sessions.
 */
export function arbiterRanking(key: SessionKey, nodes: readonly NodeId[]): NodeId[] {
  const weightOf = (node: NodeId) =>
    createHash('sha256')
      .update(`${sessionKeyText(key)}\n${node}`)
      .digest('hex');
  const weighed = nodes.map((node) => ({ node, weight: weightOf(node) }));
  return weighed.sort((a, b) => compareUtf8(b.weight, a.weight)).map(({ node }) => node);
}

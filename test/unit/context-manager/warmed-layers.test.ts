// A session that comes to a node of another region and was warmed there. Tries to have what is warmed be another prompt than that of
// the turn that comes: one with the region of the node it comes from, or with layers that its client does without.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { layerOf } from '../../../src/context-manager/layers/layer.ts';
import { ModelLayers } from '../../../src/context-manager/layers/model-layers.ts';
import type { NodeId, UserId } from '../../../src/domain/identifiers.ts';
import { OPTIONAL_LAYERS, type OptionalLayer } from '../../../src/domain/record/layers-left-out.ts';
import { CLUSTER_STAMPS, type Rig, replicaRig, replicate } from '../../support/context-manager-rig.ts';
import type { ProbedReplica } from '../../support/probed-store.ts';

const LONG = 'A long message. '.repeat(20);
const WITHOUT: readonly (readonly OptionalLayer[])[] = [[], ['region'], ['preferences'], OPTIONAL_LAYERS];

let from: Rig<ProbedReplica>;
let to: Rig<ProbedReplica>;
beforeEach(async () => {
  from = await node('a', 'off');
  to = await node('b', 'all');
});
afterEach(async () => {
  await Promise.all([from.node.close(0), to.node.close(0)]);
});

function node(name: string, warming: 'all' | 'off'): Promise<Rig<ProbedReplica>> {
  const region = layerOf('region', `REGION of ${name}`, CLUSTER_STAMPS);
  return replicaRig({
    options: { nodeId: name as NodeId, warming },
    layers: ({ preferences }) => new ModelLayers({ deployment: undefined, region: () => region, preferences }),
  });
}

test.each(WITHOUT.map((without) => [without]))(
  'without %j it finds its context warm under the layers of the node that it comes to',
  async (withoutLayers) => {
    await from.node.preferences.put('ada' as UserId, 'brief, please');
    await replicate(from, to);
    await to.settled();
    await from.turns('s', { to: 2, text: LONG, withoutLayers });
    await replicate(from, to);
    await to.settled();
    expect(to.manager.warmer?.status.ends.warm).toBe(1);
    const { usage, layers, promptTokens } = await to.turn({ session: 's', turn: 3, text: 'Hi', withoutLayers });
    const prompt = Buffer.from(to.llm.generations.at(-1)?.prompt.map((id) => Math.min(id, 255)) ?? []).toString(
      'latin1',
    );
    expect(prompt).not.toContain('REGION of a');
    expect(prompt.includes('REGION of b')).toBe(!withoutLayers.includes('region'));
    expect(prompt.includes('brief, please')).toBe(!withoutLayers.includes('preferences'));
    // "Hi", the end of its message, and the beginning of the reply.
    expect(usage.evaluatedTokens).toBeLessThan(30);
    expect(usage.warmedTokens).toBe(promptTokens - usage.evaluatedTokens);
    const changed = layers?.parts.filter((part) => part.changed).map(({ name }) => name) ?? [];
    expect(changed).toEqual(withoutLayers.includes('region') ? [] : ['region']);
  },
);

// FReD lists nodes that are gone for good, and forgets what is not said again.
import { expect, test } from 'vitest';
import { MEMBERS_ROOT } from '../../../../src/context-store/fred/names.ts';
import { MemberItems } from '../../../../src/context-store/fred/peers/member-items.ts';
import { encodeMember } from '../../../../src/context-store/fred/peers/members.ts';
import type { FredClient } from '../../../../src/context-store/fred/wire/fred-client.ts';
import type { NodeId } from '../../../../src/domain/identifiers.ts';
import { virtualEnvironment } from '../../../../tools/virtual-environment.ts';

const replicas = ['nodeA', 'nodeB', 'nodeC'].map((nodeId) => ({ nodeId, host: `${nodeId}:9001` }));
const memberAt = (fredNode: string, nodeId: string) =>
  encodeMember({ nodeId: nodeId as NodeId, fredNode, box: `dceb${'0'.repeat(16)}`, atMs: 1 });

function members(scans: Readonly<Record<string, () => Promise<readonly { value: string }[]>>>) {
  const environment = virtualEnvironment();
  const updated: string[] = [];
  const placed: NodeId[] = [];
  const clientFor = (host: string) =>
    ({
      keygroup: async () => ({ replicas }),
      update: async ({ id }: { id: string }) => void updated.push(id),
      scan: () => scans[host]?.() ?? Promise.resolve([]),
      close() {},
    }) as unknown as FredClient;
  const items = new MemberItems(
    {
      nodeId: 'e1' as NodeId,
      ownClient: clientFor('nodeA:9001'),
      clientFor,
      members: 'members',
      ownBox: `dceb${'1'.repeat(16)}`,
      fredNodes: () => [],
      onPlaced: async (nodeId) => void placed.push(nodeId),
    },
    environment,
  );
  return { items, environment, updated, placed };
}

test('a FReD node that answers nothing holds up no look, and is asked once at a time', async () => {
  let asked = 0;
  const { items, placed } = members({
    'nodeB:9001': () => {
      asked++;
      return new Promise(() => {});
    },
    'nodeC:9001': async () => [{ value: memberAt('nodeC', 'e3') }],
  });
  await items.joined('nodeA');
  await items.look();
  expect(asked).toBe(1);
  expect(placed).toEqual(['e3']);
});

test('the item where scans begin is renewed as often as a member says that it is there', async () => {
  const { items, environment, updated } = members({});
  await items.joined('nodeA');
  const end = new AbortController();
  const telling = items.keepTelling(end.signal);
  await environment.advance(1_800_000);
  expect(updated.filter((id) => id === MEMBERS_ROOT)).toHaveLength(2);
  end.abort();
  await telling;
});

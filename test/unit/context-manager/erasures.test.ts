// The receipt of an erasure, where an engine does not say that it has forgotten the user: tries to have it confirmed all the same, to
// have it begun again and again, and to keep it from being confirmed once the engine has said so.
import { beforeEach, expect, it, vi } from 'vitest';
import { NodeResources } from '../../../src/context-manager/node-resources.ts';
import {
  confirmationBytes,
  delayBytes,
  type ErasureReceipt,
  openingBytes,
  receiptOf,
} from '../../../src/context-manager/users/erasure-receipt.ts';
import { STATES_WAIT_MS } from '../../../src/context-manager/users/erasures.ts';
import type { ContextStore } from '../../../src/context-store/context-store.ts';
import { memoryStore } from '../../../src/context-store/memory.ts';
import type { NodeId, UserId } from '../../../src/domain/identifiers.ts';
import { nodeTimeOver, timedEnvironment } from '../../../src/edge-node/time/timed-environment.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { RIG_NODE_OPTIONS } from '../../support/context-manager-rig.ts';

const ADA = 'ada' as UserId;
/** A first retry. */
const RETRY_MS = 1_000;

let machine: VirtualEnvironment;
let store: ContextStore;
let node: NodeResources;
let calls: { readonly forgotten: () => void; readonly fail: (error: Error) => void }[];
beforeEach(() => {
  machine = virtualEnvironment();
  const time = nodeTimeOver(machine.clock, {
    ...RIG_NODE_OPTIONS,
    ...{ clockToleranceMs: 60_000, kept: undefined, isShared: false },
  });
  const environment = timedEnvironment(machine, time);
  calls = [];
  const forgetStates = () =>
    new Promise<void>((forgotten, fail) => {
      calls.push({ forgotten, fail });
    });
  store = memoryStore({}, environment);
  node = new NodeResources({ store, environment, time, options: RIG_NODE_OPTIONS, forgetStates });
});

const erase = () => node.erasures.erase(ADA, { waitMs: 0, signal: new AbortController().signal });
const atNode = async ({ receiptId }: ErasureReceipt) => (await node.erasures.receipt(ADA, receiptId))?.nodes[0];

it('is awaited until the engine has said so, and after a while with the reason', async () => {
  const receipt = await erase();
  await machine.advance(STATES_WAIT_MS - 1);
  expect(await atNode(receipt)).toEqual({ nodeId: RIG_NODE_OPTIONS.nodeId, confirmed: undefined });
  await machine.advance(1);
  expect(await atNode(receipt)).toMatchObject({ confirmed: undefined, reason: 'kv_state' });
  await machine.advance(RETRY_MS + STATES_WAIT_MS);
  // It is waited for again, and not asked again.
  expect(calls).toHaveLength(1);
  calls[0]?.forgotten();
  await machine.advance(2 * RETRY_MS);
  expect(await atNode(receipt)).toEqual({
    nodeId: RIG_NODE_OPTIONS.nodeId,
    confirmed: { atMs: expect.any(Number), sessions: 0 },
  });
  expect(machine.logLines.map(({ event }) => event)).toContain('user_erased');
});

it('an engine that has failed is asked again, and what kept the node is told once', async () => {
  const receipt = await erase();
  for (let attempt = 0; attempt < 3; attempt++) {
    calls[attempt]?.fail(new Error('killed'));
    await machine.advance(60_000);
    expect(calls).toHaveLength(attempt + 2);
    expect(await atNode(receipt)).toMatchObject({ reason: 'kv_state' });
  }
  expect(await node.documents.versions('erasure-receipt', receipt.receiptId)).toHaveLength(2);
  calls.at(-1)?.forgotten();
  await machine.advance(60_000);
  expect((await atNode(receipt))?.confirmed).toBeDefined();
});

it('each receipt is found by its own user, and for another one nothing is looked up, as for none', async () => {
  const receipts = [await erase()];
  calls[0]?.forgotten();
  await machine.advance(0);
  receipts.push(await erase());
  for (const { receiptId } of receipts)
    expect(await node.erasures.receipt(ADA, receiptId)).toMatchObject({ userId: ADA });
  const reads = vi.spyOn(store, 'read');
  for (const receiptId of [...receipts.map((receipt) => receipt.receiptId), 'ab'.repeat(16)])
    expect(await node.erasures.receipt('bob' as UserId, receiptId)).toBeUndefined();
  expect(reads).not.toHaveBeenCalled();
});

it('a node that confirms is awaited for nothing, whichever was said first', () => {
  const [one, two] = ['one', 'two'] as NodeId[] as [NodeId, NodeId];
  const nodes = [one, two].map((nodeId) => ({ nodeId, confirmed: undefined }));
  const said = [
    openingBytes({ receiptId: 'r', userId: ADA, erasedAtMs: 1, nodes }),
    confirmationBytes({ node: one, at: 3, sessions: 2 }),
    ...[one, two].map((node) => delayBytes({ node, at: 2, waitsFor: 'kv_state' })),
    Buffer.from('{"node":"two","at":2,"waitsFor":"something newer"}'),
  ];
  for (const versions of [said, said.toReversed()])
    expect(receiptOf('r', versions)?.nodes).toEqual([
      { nodeId: one, confirmed: { atMs: 3, sessions: 2 } },
      { nodeId: two, confirmed: undefined, reason: 'kv_state' },
    ]);
});

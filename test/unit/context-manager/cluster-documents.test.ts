// Documents of a cluster: what a node had of them it has after another start, and who lives of them finds them.
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyFolder } from '../../../src/access/key-folder.ts';
import { NodeResources } from '../../../src/context-manager/node-resources.ts';
import type { ContextStore } from '../../../src/context-store/context-store.ts';
import { openLevelStore } from '../../../src/context-store/leveldb.ts';
import { memoryStore } from '../../../src/context-store/memory.ts';
import { DOCUMENTS_KEYGROUP } from '../../../src/domain/cluster/documents.ts';
import type { NodeId, UserId } from '../../../src/domain/identifiers.ts';
import { SharedKeys } from '../../../src/edge-node/access/share-keys.ts';
import { nodeTimeOver, timedEnvironment } from '../../../src/edge-node/time/timed-environment.ts';
import { newKey } from '../../../tools/new-key.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { contextManagerRig, RIG_NODE_OPTIONS } from '../../support/context-manager-rig.ts';

const ADA = 'ada' as UserId;
const DAY_MS = 24 * 3_600_000;

describe.each(['leveldb', 'memory'])('documents in %s', (kind) => {
  let folder: ReturnType<typeof temporaryFolder>;
  let store: ContextStore | undefined;
  let node: NodeResources;

  beforeEach(async () => {
    folder = temporaryFolder();
    await open();
  });
  afterEach(async () => {
    await store?.close();
    store = undefined;
    folder.remove();
  });

  async function open(): Promise<void> {
    const machine = virtualEnvironment();
    const time = nodeTimeOver(machine.clock, {
      ...RIG_NODE_OPTIONS,
      clockToleranceMs: 60_000,
      kept: undefined,
      isShared: false,
    });
    const environment = timedEnvironment(machine, time);
    if (kind === 'memory') store ??= memoryStore({}, environment);
    else {
      const at = { folder: join(folder.path, 'data'), nodeId: 'node-1' as NodeId, bytesMax: 1_000_000 };
      store = await openLevelStore(at, environment);
    }
    node = new NodeResources({ store, environment, time, options: RIG_NODE_OPTIONS });
  }

  /** Of memory, what stays is the store. */
  async function restart(): Promise<void> {
    if (kind !== 'memory') await store?.close();
    await open();
  }

  const idsOf = async (kindOf: 'api-key' | 'user-preferences') => {
    const ids: string[] = [];
    for await (const { id } of node.documents.all(kindOf)) ids.push(id);
    return ids;
  };

  it('are all found after another start, and are no sessions', async () => {
    for (let i = 0; i < 120; i++) await node.documents.put('api-key', `k${i}`, Uint8Array.of(i));
    await node.documents.put('user-preferences', 'ada', Uint8Array.of(1));
    await restart();
    expect(await idsOf('api-key')).toHaveLength(120);
    expect(await idsOf('user-preferences')).toEqual(['ada']);
    expect((await node.records.list({ keygroup: DOCUMENTS_KEYGROUP, limit: 10 })).sessions).toEqual([]);
  });

  it('tell a node whose keys are lost of all keys of the cluster', async () => {
    const share = (name: string) => {
      const keys = new KeyFolder(join(folder.path, name));
      const { documents, environment } = node;
      return { keys, shared: new SharedKeys({ keys, documents, environment, documentMs: DAY_MS }) };
    };
    const first = share('keys');
    const { kept } = await newKey(first.keys, { user: ADA });
    (await first.shared.start())();
    await restart();
    const second = share('new-keys');
    (await second.shared.start())();
    expect(second.keys.get(kept.id)).toEqual(kept);
  });

  it('give a user what it has preferred after another start', async () => {
    await node.preferences.put(ADA, 'Be brief.');
    await restart();
    await node.preferences.start();
    expect(await node.preferences.layer(ADA)).toBeDefined();
  });
});

describe('a document about a user who is erased meanwhile', () => {
  const now = { waitMs: 0, signal: new AbortController().signal };
  const erased = { code: 'session_deleted' };

  it('is not stored, wherever the erasure overtakes it; one that comes after it is', async () => {
    const rig = await contextManagerRig();
    for (const where of ['read', 'answer', 'append'] as const) {
      const hold = rig.store.hold(where);
      const overtaken = rig.node.preferences.put(ADA, 'Call me Ada.').catch((error: unknown) => error);
      await hold.entered;
      await rig.node.erasures.erase(ADA, now);
      hold.release();
      expect(await overtaken, where).toMatchObject(erased);
      expect(await rig.node.preferences.get(ADA), where).toMatchObject({ preferences: undefined });
      rig.restart();
    }
    await rig.node.preferences.put(ADA, 'Call me Eve.');
    expect(await rig.node.preferences.get(ADA)).toEqual({ preferences: 'Call me Eve.', version: 1 });
  });

  it('cannot be put again as it was read before, not even after what was put anew', async () => {
    const { node } = await contextManagerRig();
    const erasure = node.documents.erasure('user-preferences', ADA);
    const again = () => node.documents.put('user-preferences', ADA, Uint8Array.of(1), { erasure });
    await again();
    await node.erasures.erase(ADA, now);
    await expect(again()).rejects.toMatchObject(erased);
    await node.preferences.put(ADA, 'Anew.');
    await expect(again()).rejects.toMatchObject(erased);
    expect(await node.documents.versions('user-preferences', ADA)).toHaveLength(1);
  });
});

// Registers one more kind of context store, the smallest there is, and looks for anything in configuration, start, HTTP or
// doctor that knows only the kinds which this package has.
import { expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { memoryStore } from '../../../src/context-store/memory.ts';
import { checkDataDir } from '../../../src/doctor/node-checks.ts';
import type { Incarnation } from '../../../src/domain/identifiers.ts';
import { startEdgeNode } from '../../../src/edge-node/edge-node.ts';
import {
  type OpenableStore,
  type OpenableStores,
  STORES,
  served,
} from '../../../src/edge-node/stores/open-context-store.ts';
import { NodeUnderTest } from '../../../tools/test-node.ts';

/** What a store's own folder would hold. */
const slate: OpenableStore = {
  shares: false,
  keepsFiles: false,
  open: async (_config, environment) => served(memoryStore({}, environment), '0000000a' as Incarnation),
};

const stores: OpenableStores = { ...STORES, slate };

const FLAGS = { llm: 'scripted', listen: '127.0.0.1:0', nodeId: 'test', logLevel: 'silent' };
const load = (flags: Record<string, unknown>) => loadConfig({ flags: { ...FLAGS, ...flags }, env: {}, stores });

it('a store is added by one line: a node with it takes turns, and says which it is', async () => {
  const config = load({ store: 'slate' });
  const node = await startEdgeNode(config, { stores });
  onTestFinished(() => node.close());
  const client = new NodeUnderTest(node.address.url);
  await client.turn({ session_id: 's', turn: 1, prompt: 'one' });
  expect(await client.turn({ session_id: 's', turn: 2, prompt: 'two' })).toMatchObject({ turn: 2 });
  expect((await client.get('/props')).body).toMatchObject({ store: 'slate' });
  expect((await client.get('/nodes')).body).toMatchObject({ cluster: null });
  expect(await checkDataDir(config)).toMatchObject({ outcome: 'ok', found: 'not needed by the slate store' });
});

it('settings of shared stores are refused with it, and an unknown store is told what there is', () => {
  expect(() => load({ store: 'slate', writeConcern: 'replicated' })).toThrow(
    'needs store nats or fred: slate shares its sessions with no other node',
  );
  expect(() => load({ store: 'paper' })).toThrow(
    'must be leveldb, memory, nats, nats://HOST:PORT, fred://HOST:PORT or slate, not "paper"',
  );
});

it('every kind that a configuration can name can be opened, and says the same of itself there', () => {
  for (const name of ['leveldb', 'memory', 'nats'] as const) {
    const { shares, keepsFiles } = loadConfig({ flags: { ...FLAGS, store: name }, env: {} }).store;
    expect(STORES[name]).toMatchObject({ shares, keepsFiles });
  }
});

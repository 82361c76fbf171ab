// Starts nodes with the demo model where memory is short, and looks at the window that they serve: as much as fits, what was
// set, and never a refusal of the only model.
import { expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { startEdgeNode } from '../../../src/edge-node/edge-node.ts';

const MIB = 2 ** 20;
const FLAGS = { store: 'memory', listen: '127.0.0.1:0', nodeId: 'test', logLevel: 'silent', model: 'demo' };

async function windowOf(flags: Readonly<Record<string, unknown>>, memoryBytes: number): Promise<number | undefined> {
  const config = loadConfig({ flags: { ...FLAGS, ...flags }, env: {} });
  const node = await startEdgeNode(config, { memoryBytes: memoryBytes + config.contextCacheBytes });
  onTestFinished(() => node.close());
  return node.description.models[0]?.llm.contextTokens;
}

it('the demo model has its whole window where there is room, and half of it where there is not', async () => {
  expect(await windowOf({}, 1024 * MIB)).toBe(4096);
  expect(await windowOf({}, 1)).toBe(2048);
});

it('a window that was set is taken as it is', async () => {
  expect(await windowOf({ contextTokens: '512' }, 1)).toBe(512);
  expect(await windowOf({ contextTokens: '4096' }, 1)).toBe(4096);
});

// The memory store against the promises of every context store.
import { memoryStore } from '../../src/context-store/memory.ts';
import { contextStoreSuite } from './context-store-suite.ts';

contextStoreSuite('memory', {
  open: async (_folder, environment, bytesMax) => memoryStore({ bytesMax }, environment),
  persistent: false,
});

import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const FAST = [
  ...['unit', 'conformance', 'project', 'simulation'].map((folder) => `test/${folder}/**/*.test.ts`),
  'evaluation/test/unit/**/*.test.ts',
];
/** Those that keep both cores busy by themselves, or test a bound on real time: nothing else may run beside them. */
const ALONE = [
  'test/faults/cluster-faults.test.ts',
  'test/faults/overload.test.ts',
  'test/integration/embedded-stuck.test.ts',
  'test/integration/nodes-wrong-clock.test.ts',
];
const WORKERS = Math.min(2, availableParallelism());
/** To load the sources anew for each file takes longer than most files do; and nothing that one file puts in place of something is there in the next. */
const oneProcess = { isolate: false, unstubEnvs: true, restoreMocks: true };
/** What test/support/global-setup.ts brings: the built package, and real servers. */
const realParts = { globalSetup: ['test/support/global-setup.ts'], testTimeout: 180_000, hookTimeout: 180_000 };
/** One more than there are cores for: a fifth of the time is waiting. */
const besideEachOther = { maxWorkers: WORKERS + 1, sequence: { groupOrder: 2 } };
/** An engine's process, of which tests start hundreds, takes three times as long to start from source. */
const builtEngines = {
  alias: [
    {
      find: /^.*\/engine-process\/launch-engine\.ts$/,
      replacement: fileURLToPath(new URL('dist/edge-node/engine-process/launch-engine.js', import.meta.url)),
    },
  ],
};

/** Lanes, one after the other; CONTRIBUTING.md says which one a test file goes into. */
export default defineConfig({
  // What the evaluation imports of the node by package name is its source here, as it is for the compiler.
  resolve: { tsconfigPaths: true },
  test: {
    reporters: ['default', './test/support/count-reporter.ts'],
    // What is waited for comes: the bound is only there to end a test that hangs.
    expect: { poll: { timeout: 30_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: FAST,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          ...oneProcess,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        resolve: builtEngines,
        test: {
          name: 'full',
          include: [
            ...['integration', 'faults'].map((folder) => `test/${folder}/**/*.test.ts`),
            'evaluation/test/integration/**/*.test.ts',
          ],
          exclude: ALONE,
          ...realParts,
          ...oneProcess,
          ...besideEachOther,
        },
      },
      {
        extends: true,
        // It measures its own process, in which nothing has run before.
        test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'], ...realParts, ...besideEachOther },
      },
      {
        extends: true,
        resolve: builtEngines,
        test: { name: 'alone', include: ALONE, ...realParts, fileParallelism: false, sequence: { groupOrder: 3 } },
      },
    ],
  },
});

import { defineConfig } from 'vitest/config';

/** `fast` is the inner loop (no built package, no real servers); `full` needs what test/support/global-setup.ts brings. */
export default defineConfig({
  // What the evaluation imports of the node by package name is its source here, as it is for the compiler.
  resolve: { tsconfigPaths: true },
  test: {
    reporters: ['default', './test/support/count-reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: [
            ...['unit', 'conformance', 'project', 'simulation'].map((folder) => `test/${folder}/**/*.test.ts`),
            'evaluation/test/unit/**/*.test.ts',
          ],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'full',
          include: [
            ...['integration', 'faults'].map((folder) => `test/${folder}/**/*.test.ts`),
            'evaluation/test/integration/**/*.test.ts',
          ],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});

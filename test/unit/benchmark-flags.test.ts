/** How benchmarks are called: each says how, and a wrong call is told what is wrong with it, without a stack trace. */
import { afterEach, expect, it, vi } from 'vitest';
import { benchmarkFlags } from '../../benchmarks/support/arguments.ts';

const FLAGS = {
  base: { type: 'string', help: 'COMMIT to compare with', isRequired: true },
  rounds: { type: 'string', default: '7', help: 'ROUNDS to play', isNumber: true },
  parts: { type: 'string', default: 'first,last', help: 'NAMES of what is played', among: ['first', 'last'] },
  quick: { type: 'boolean', default: false, help: 'everything small' },
} as const;

const argv = process.argv;
afterEach(() => {
  process.argv = argv;
  vi.restoreAllMocks();
});

function called(...args: string[]) {
  process.argv = ['node', 'bench.ts', ...args];
  let printed = '';
  const print = (text: string | Uint8Array) => {
    printed += text;
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(print);
  vi.spyOn(process.stderr, 'write').mockImplementation(print);
  vi.spyOn(process, 'exit').mockImplementation((status) => {
    throw new Exit(Number(status));
  });
  try {
    return { values: benchmarkFlags('sample', FLAGS), status: undefined, printed };
  } catch (error) {
    return { values: undefined, status: (error as Exit).status, printed };
  }
}

class Exit extends Error {
  readonly status: number;
  constructor(status: number) {
    super();
    this.status = status;
  }
}

it('gives what was asked for, and defaults', () => {
  expect(called('--base', 'abc', '--quick').values).toMatchObject({ base: 'abc', rounds: '7', quick: true });
});

it.each([
  [['--nope'], "bench:sample: Unknown option '--nope'"],
  [[], 'bench:sample: --base is missing: the COMMIT to compare with'],
  [['--base', 'abc', '--rounds', 'x'], 'bench:sample: --rounds takes a number, not "x"'],
  [['--base', 'abc', '--parts', 'last,middle'], 'bench:sample: --parts takes first, last, not "middle"'],
  [['--base', 'abc', 'extra'], 'bench:sample: '],
])('%j is a wrong call', (args, message) => {
  const { status, printed } = called(...args);
  expect(printed.startsWith(message)).toBe(true);
  expect(printed).toContain('Usage: npm run bench:sample');
  expect(printed).not.toMatch(/^\s+at /m);
  expect(status).toBe(2);
});

// Packs both packages as npm would publish them and runs them from an empty folder, with nothing but what is in them and
// the packages they declare: a file that `files` forgets, an import that only the repository's node_modules answers, or a
// path that only works there, shows here.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import { NodeUnderTest } from '../../tools/test-node.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGES = { discedge: ROOT, 'discedge-evaluation': join(ROOT, 'evaluation') } as const;
type PackageName = keyof typeof PACKAGES;
const PACKED_BYTES_MAX: Readonly<Record<PackageName, number>> = {
  discedge: 12 * 1024 * 1024,
  'discedge-evaluation': 1024 * 1024,
};

const folder = temporaryFolder();
afterAll(() => folder.remove());

it('both are small, and have what each needs beside its code', () => {
  const { path } = installed('contents', ['discedge', 'discedge-evaluation']);
  const contents = (name: PackageName) => readdirSync(join(path, 'node_modules', name)).sort();
  expect(contents('discedge')).toEqual([
    ...['CHANGELOG.md', 'CITATION.cff', 'LICENSE', 'README.md', 'dist', 'models', 'node_modules', 'package.json'],
  ]);
  expect(contents('discedge-evaluation')).toEqual([
    ...['LICENSE', 'README.md', 'dist', 'node_modules', 'package.json', 'scenarios', 'src'],
  ]);
});

it('a clone runs its command as `npx discedge` does, without node before it', () => {
  expect(execFileSync(join(ROOT, 'dist/cli/main.js'), ['--version'], { encoding: 'utf8' })).toMatch(
    /^\d+\.\d+\.\d+\n$/,
  );
});

describe('the node by itself', () => {
  let here: Installed;
  beforeAll(() => {
    here = installed('alone', ['discedge']);
  });

  it('serves what another process runs', async () => {
    await here.serve(['--llm', 'scripted'], async (node) => {
      expect(await node.turn({ prompt: 'Hello.' })).toMatchObject({ turn: 1 });
    });
  });

  it('says what installs llama.cpp', () => {
    const { status, stderr } = here.fails(['serve', '--listen', '127.0.0.1:0']);
    expect(stderr).toMatch(
      /^discedge: .*node-llama-cpp, which is not installed.*: npm install node-llama-cpp@[\d.]+$/m,
    );
    expect(status).toBe(1);
  });

  it.each([
    ['scenario', 'run', 'robot.yaml'],
    ['traffic', '--port', '4222'],
    ['model'],
    ['experiment'],
    ['report', '-h'],
  ])('lists %s, and says what installs it', (...args) => {
    expect(here.discedge(['--help'])).toContain(`\n  ${args[0]} `);
    const { status, stderr } = here.fails(args);
    expect(stderr).toMatch(
      /^discedge: "discedge \w+" is a command of the package discedge-evaluation, which is not installed beside discedge: npm install discedge-evaluation@[\d.]+\n$/,
    );
    expect(status).toBe(1);
  });
});

it('with node-llama-cpp it answers with the demo model', async () => {
  const here = installed('embedded', ['discedge'], ['node-llama-cpp']);
  await here.serve([], async (node) => {
    const { session_id } = await node.turn({ prompt: 'My name is Zorvik.', temperature: 0 });
    expect(await node.turn({ prompt: 'What is my name?', session_id, turn: 2, temperature: 0 })).toMatchObject({
      content: 'Your name is Zorvik.',
    });
  });
  expect(readdirSync(here.path).sort()).toEqual(['.discedge', 'node_modules']);
});

it('with the evaluation it plays a scenario and reports on it', async () => {
  const here = installed('evaluation', ['discedge', 'discedge-evaluation'], ['node-llama-cpp']);
  const scenario = 'node_modules/discedge-evaluation/scenarios/robot.yaml';
  expect(here.discedge(['scenario', 'run', scenario, '--mode', 'tokenized'])).toContain('complete: 9 turns');
  const [rows] = readdirSync(join(here.path, 'discedge-results')).filter((name) => name.endsWith('.ndjson'));
  here.discedge(['report', `discedge-results/${rows}`]);
  const drawn = readdirSync(join(here.path, 'discedge-report'));
  expect(drawn).toContain('index.html');
  expect(drawn.some((name) => name.endsWith('.png'))).toBe(true);
  const { whyNoNamespaces } = await import(
    join(here.path, 'node_modules/discedge-evaluation/dist/network/namespace-run.js')
  );
  expect(whyNoNamespaces() ?? '').not.toContain('packet-switch.c is missing');
});

interface Installed {
  /** An empty folder, but for its node_modules. */
  readonly path: string;
  /** What the command line prints on stdout; throws when it fails. */
  discedge(args: readonly string[]): string;
  fails(args: readonly string[]): { readonly status: number; readonly stderr: string };
  /** Starts a node on a free port, and stops it when `use` is done. */
  serve(args: readonly string[], use: (node: NodeUnderTest) => Promise<void>): Promise<void>;
}

/** Packages as packed, each with what it declares; `peers` are of those it may have beside it. */
function installed(name: string, packages: readonly PackageName[], peers: readonly string[] = []): Installed {
  const path = join(folder.path, name);
  for (const each of packages) {
    const place = join(path, 'node_modules', each);
    unpack(each, place);
    const { dependencies } = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8'));
    for (const needed of Object.keys(dependencies)) link(needed, join(place, 'node_modules'));
  }
  for (const peer of peers) link(peer, join(path, 'node_modules'));
  const command = [join(path, 'node_modules/discedge/dist/cli/main.js')];
  const discedge = (args: readonly string[]) =>
    execFileSync(process.execPath, [...command, ...args], { cwd: path, encoding: 'utf8', stdio: 'pipe' });
  return {
    path,
    discedge,
    fails(args) {
      try {
        discedge(args);
      } catch (error) {
        return error as { status: number; stderr: string };
      }
      throw new Error(`discedge ${args.join(' ')} did not fail`);
    },
    async serve(args, use) {
      const words = [...command, 'serve', '--listen', '127.0.0.1:0', ...args];
      const served = await startProcess({ name: 'packed discedge', command: process.execPath, args: words, cwd: path });
      try {
        const [, url] = await served.waitForLine(/^ *API +(http:\/\/127\.0\.0\.1:\d+)/);
        await use(new NodeUnderTest(url as string));
      } finally {
        await served.stop();
      }
    },
  };
}

function unpack(name: PackageName, place: string): void {
  const into = dirname(place);
  mkdirSync(into, { recursive: true });
  execFileSync('tar', ['-xzf', packed(name), '-C', into]);
  renameSync(join(into, 'package'), place);
}

const archives = new Map<PackageName, string>();

/** The archive that would be published, packed once. */
function packed(name: PackageName): string {
  const known = archives.get(name);
  if (known !== undefined) return known;
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder.path];
  const [{ filename, size }] = JSON.parse(execFileSync('npm', args, { cwd: PACKAGES[name], encoding: 'utf8' }));
  expect(size).toBeLessThan(PACKED_BYTES_MAX[name]);
  const archive = join(folder.path, filename);
  archives.set(name, archive);
  return archive;
}

/** The repository's own copy of a package, which finds its own dependencies there. */
function link(name: string, into: string): void {
  const place = join(into, name);
  if (existsSync(place)) return;
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules', name), place);
}

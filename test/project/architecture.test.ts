// Reads the imports and refuses what would turn the drawing of ARCHITECTURE.md false: an import that points outward, an
// adapter known to anyone but the composition root, a clock or random number taken past the environment, a package that
// reaches into another's files.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { ENGINE_KINDS } from '../../src/config/engine-kinds.ts';
import { STORE_KINDS } from '../../src/config/store-kinds.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SRC = join(ROOT, 'src');
const TEST = join(ROOT, 'test');

/** What each folder may import from, beside itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  environment: [],
  waiting: ['environment'],
  'llm-service': ['domain', 'environment', 'waiting'],
  'context-store': ['domain', 'environment', 'waiting'],
  'context-manager': ['domain', 'environment', 'waiting', 'llm-service', 'context-store'],
  access: ['domain', 'environment'],
  http: ['domain', 'environment', 'waiting', 'llm-service', 'context-store', 'context-manager', 'access'],
  client: [],
  config: ['domain'],
  certificates: ['domain', 'environment', 'context-store', 'config'],
  'edge-node': [
    'domain',
    'environment',
    'waiting',
    'llm-service',
    'context-store',
    'context-manager',
    'access',
    'http',
    'config',
    'certificates',
  ],
  doctor: [
    'domain',
    'environment',
    'llm-service',
    'context-store',
    'context-manager',
    'config',
    'certificates',
    'edge-node',
  ],
  cli: ['domain', 'client', 'config', 'access', 'certificates', 'doctor', 'edge-node'],
};

/** The parts of a port's folder that everyone further out may import; the rest of it are adapters. */
const PORT_FILES = [
  'llm-service/llm-service.ts',
  'llm-service/chat-template.ts',
  'llm-service/reply-grammar.ts',
  'context-store/answers-elsewhere.ts',
  'context-store/context-store.ts',
  'context-store/conversation-index.ts',
  'context-store/outcome-unknown.ts',
  'context-store/replication-status.ts',
  'context-store/turn-arbitration.ts',
  'environment/environment.ts',
];
const PORT_FOLDERS = ['llm-service', 'context-store', 'environment'];
/** Parts of Node.js that compute and touch nothing outside. */
const PURE_BUILTINS = ['node:crypto', 'node:buffer'];
/** One makes a node of its parts, one looks at them, one issues certificates to the users that the NATS adapter has. */
const ADAPTERS_KNOWN_TO = ['edge-node', 'doctor', 'certificates'];

/** What may be imported by relative path from outside of a folder of the repository, beside the folder itself. */
const MAY_REACH: Readonly<Record<string, readonly string[]>> = {
  src: [],
  'evaluation/src': [],
  'evaluation/test': ['evaluation/src', 'tools'],
  tools: ['src', 'evaluation/src'],
  benchmarks: ['src', 'evaluation/src', 'tools'],
  examples: ['src', 'tools'],
};
/** The one file of the node that knows of the evaluation, by its name. */
const EVALUATION_KNOWN_TO = 'cli/evaluation-commands.ts';

interface SourceFile {
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  /** Own files it imports, by path from the folder that was read. */
  readonly imports: readonly string[];
  readonly packages: readonly string[];
}

/** The specifier of an import or export, at the beginning of a line or called. */
const IMPORTED = /^(?:import|(?:import|export|\}).* from) '([^']+)'|\bimport\(\s*'([^']+)'/gm;

const files = sourceFiles(SRC);

it('imports point inward', () => {
  const outward = importsOf(({ folder, target }) => target !== folder && !MAY_IMPORT[folder]?.includes(target));
  expect(outward).toEqual([]);
});

it('only the composition roots know adapters', () => {
  const known = importsOf(
    ({ folder, target, imported }) =>
      target !== folder &&
      PORT_FOLDERS.includes(target) &&
      !PORT_FILES.includes(imported) &&
      !ADAPTERS_KNOWN_TO.includes(folder),
  );
  expect(known).toEqual([]);
});

it('a dialect is known to the app alone, and knows no other', () => {
  const dialectOf = (path: string) => path.match(/^http\/dialects\/([^/]+)\//)?.[1];
  const known = files.flatMap(({ path, imports }) =>
    imports
      .filter((imported) => dialectOf(imported) !== undefined && dialectOf(imported) !== dialectOf(path))
      .map((imported) => `${path} → ${imported}`),
  );
  expect(known).toEqual([
    'http/app.ts → http/dialects/anthropic/anthropic.ts',
    'http/app.ts → http/dialects/llama-cpp/llama-cpp.ts',
    'http/app.ts → http/dialects/openai/openai.ts',
  ]);
});

it('the domain is pure, the client stands alone, and waiting needs a clock and nothing else', () => {
  const packages = (folder: string) => files.filter((file) => file.folder === folder).flatMap((file) => file.packages);
  expect(packages('domain').filter((name) => !PURE_BUILTINS.includes(name))).toEqual([]);
  expect(packages('client')).toEqual([]);
  expect(packages('waiting')).toEqual([]);
});

it('time and chance come from the environment, and the process environment is read in one place', () => {
  const outside = files.filter(({ folder }) => !['environment', 'client', 'cli'].includes(folder));
  const clocks =
    /Date\.now\(|new Date\(\)|Math\.random|\bsetTimeout\(|\bsetInterval\(|performance\.now\(|randomUUID|randomBytes/;
  expect(outside.filter(({ text }) => clocks.test(text)).map(({ path }) => path)).toEqual([]);
  const environment = /process\.env\b|\benv\b.*from 'node:process'/;
  const readers = files.filter(({ text }) => environment.test(text)).map(({ path }) => path);
  expect(readers).toEqual(['config/process-environment.ts']);
});

it('a store or an engine is known by what it says of itself: nobody asks for its name or looks for its methods', () => {
  const asked = (kinds: object) => {
    const names = Object.keys(kinds).join('|');
    return new RegExp(`[!=]== '(?:${names})'|case '(?:${names})'|'\\w+' in \\w*[sS]tore\\b`);
  };
  const askersFor = (kinds: object) => files.filter(({ text }) => asked(kinds).test(text)).map(({ path }) => path);
  expect(askersFor(STORE_KINDS)).toEqual([]);
  expect(askersFor(ENGINE_KINDS)).toEqual(['config/engine-kinds.ts']);
});

it("every adapter of a port has a test that runs the port's conformance suite", () => {
  const tests = readdirSync(TEST, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(TEST, path), 'utf8'));
  const adapters = [
    ['llm-service/embedded.ts', 'llmServiceSuite'],
    ['llm-service/engine-process.ts', 'llmServiceSuite'],
    ['llm-service/llama-server.ts', 'llmServiceSuite'],
    ['llm-service/scripted.ts', 'llmServiceSuite'],
    ['llm-service/vllm.ts', 'llmServiceSuite'],
    ['context-store/memory.ts', 'contextStoreSuite'],
    ['context-store/leveldb.ts', 'contextStoreSuite'],
    ['context-store/nats.ts', 'contextStoreSuite'],
    ['context-store/fred.ts', 'contextStoreSuite'],
  ] as const;
  const started = textOf('edge-node/models/engines.ts');
  const opened = ['open-context-store', 'open-replicated-store', 'open-fred-store']
    .map((name) => textOf(`edge-node/stores/${name}.ts`))
    .join('');
  const inUse = [...(started + opened).matchAll(/'(?:\.\.\/)+((?:llm-service|context-store)\/[a-z-]+\.ts)'/g)].map(
    (match) => match[1],
  );
  const notAdapters = [...PORT_FILES, 'llm-service/model-file.ts'];
  expect(new Set(adapters.map(([path]) => path))).toEqual(
    new Set(inUse.filter((path) => !notAdapters.includes(path as string))),
  );
  for (const [path, suite] of adapters) {
    expect(
      tests.some((text) => text.includes(suite) && text.includes(path)),
      `${path} in no test with ${suite}`,
    ).toBe(true);
  }
});

it('the node, the evaluation and the tools reach each other as packages do, and nothing reaches tests', () => {
  const wrong = Object.entries(MAY_REACH).flatMap(([folder, others]) =>
    sourceFiles(join(ROOT, folder)).flatMap(({ path, imports }) =>
      imports
        .map((imported) => relative(ROOT, join(ROOT, folder, imported)))
        .filter((target) => ![folder, ...others].some((allowed) => target.startsWith(`${allowed}/`)))
        .map((target) => `${folder}/${path} → ${target}`),
    ),
  );
  expect(wrong).toEqual([]);
});

it('the node knows the evaluation in one place, and the evaluation knows of the command line what is offered', () => {
  const known = files.filter(({ text }) => /['"`]discedge-evaluation\b/.test(text)).map(({ path }) => path);
  expect(known).toEqual([EVALUATION_KNOWN_TO]);
  const inside = sourceFiles(join(ROOT, 'evaluation/src')).flatMap(({ packages }) => packages);
  expect(inside.filter((name) => /^discedge\/internal\/(cli|http|context-manager|doctor)\//.test(name))).toEqual([]);
});

it.each(['.', 'evaluation'])('the package in %s declares what its source imports', (folder) => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));
  const declared = Object.keys({ ...dependencies, ...peerDependencies });
  // Its types; who has no embedded llama.cpp has no use for them.
  if (folder === 'evaluation') declared.push('node-llama-cpp');
  const imported = sourceFiles(join(ROOT, folder, 'src'))
    .flatMap(({ packages }) => packages)
    .filter((name) => !name.startsWith('node:'))
    .map((name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/'));
  expect([...new Set(imported)].filter((name) => !declared.includes(name))).toEqual([]);
});

function textOf(wanted: string): string {
  return files.find(({ path }) => path === wanted)?.text ?? '';
}

/** `importer → imported` for every import between folders that `isWrong` says is wrong. */
function importsOf(isWrong: (edge: { folder: string; target: string; imported: string }) => boolean): string[] {
  return files
    .filter(({ folder }) => folder !== '')
    .flatMap(({ path, folder, imports }) =>
      imports
        .filter((imported) => isWrong({ folder, target: imported.split('/')[0] as string, imported }))
        .map((imported) => `${path} → ${imported}`),
    );
}

function sourceFiles(root: string): SourceFile[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      const specifiers = [...text.matchAll(IMPORTED)].map((match) => (match[1] ?? match[2]) as string);
      return {
        path,
        folder: path.includes('/') ? (path.split('/')[0] as string) : '',
        text,
        imports: specifiers
          .filter((name) => name.startsWith('.'))
          .map((name) => relative(root, resolve(dirname(join(root, path)), name))),
        packages: specifiers.filter((name) => !name.startsWith('.')),
      };
    });
}

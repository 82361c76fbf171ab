import { execFile } from 'node:child_process';
import type { EdgeNodeConfig } from '../config.ts';
import type { Check } from './check.ts';

/** Printing a version takes no program longer. */
const VERSION_WAIT_MS = 10_000;

interface Program {
  readonly name: string;
  readonly what: string;
  readonly fix: string;
}

const OPTIONAL_PROGRAMS: readonly Program[] = [
  {
    name: 'llama-server',
    what: 'a faster LLM Service, for --llm',
    fix: 'install llama.cpp: https://github.com/ggml-org/llama.cpp (Debian: apt install llama.cpp-tools)',
  },
  {
    name: 'nats-server',
    what: 'replication between nodes',
    fix: 'install it: https://nats.io/download (Debian: apt install nats-server)',
  },
];

/** Programs that a node can use but, as it is configured, does not need. */
export function checkOptionalPrograms({ replication }: EdgeNodeConfig): Promise<Check[]> {
  const optional = OPTIONAL_PROGRAMS.filter(({ name }) => replication === undefined || name !== 'nats-server');
  return Promise.all(optional.map(checkProgram));
}

async function checkProgram({ name, what, fix }: Program): Promise<Check> {
  const version = await versionOf(name);
  return version === undefined
    ? { name, outcome: 'warn', found: `not on PATH; optional (${what})`, fix }
    : { name, outcome: 'ok', found: version };
}

function versionOf(program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, ['--version'], { timeout: VERSION_WAIT_MS }, (error, stdout, stderr) => {
      if (error !== null && error.code === 'ENOENT') return resolve(undefined);
      const lines = `${stdout}\n${stderr}`.split('\n');
      resolve(lines.find((line) => /version/i.test(line))?.trim() ?? 'found; tells no version');
    });
  });
}

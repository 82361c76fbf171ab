import { execFile } from 'node:child_process';
import type { EdgeNodeConfig } from '../config/config.ts';
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
  const found = await versionOf(name);
  if (found === undefined) return { name, outcome: 'warn', found: `not on PATH; optional (${what})`, fix };
  if (found === DOES_NOT_RUN) return { name, outcome: 'warn', found: `${found}; optional (${what})`, fix };
  return { name, outcome: 'ok', found };
}

const DOES_NOT_RUN = 'on PATH, but does not run';

function versionOf(program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, ['--version'], { timeout: VERSION_WAIT_MS }, (error, stdout, stderr) => {
      if (error !== null) return resolve(error.code === 'ENOENT' ? undefined : DOES_NOT_RUN);
      const lines = `${stdout}\n${stderr}`.split('\n');
      // llama-server says "version: 1234 (abcd)", nats-server "nats-server: v2.15.1".
      const line = lines.find((line) => /version/i.test(line)) ?? lines.find((line) => /\d\.\d/.test(line));
      resolve(line?.trim() ?? 'found; tells no version');
    });
  });
}

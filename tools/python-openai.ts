import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findProgram } from './processes.ts';

/** As `openai` for Node.js in package.json: the version that the tests are written with. */
export const PYTHON_OPENAI_VERSION = '3.57.0';

const STEP_WAIT_MS = 170_000;

/**
 * A Python with OpenAI's client of this version: the one that DISCEDGE_TEST_PYTHON names, or an environment under `.cache/python`,
 * made where it is not there yet. `undefined` where there is no python3, or no package index in reach; a line says which.
 */
export async function pythonWithOpenAi(): Promise<string | undefined> {
  const own = process.env.DISCEDGE_TEST_PYTHON;
  if (own !== undefined && own !== '') return own;
  const folder = fileURLToPath(new URL(`../.cache/python/openai-${PYTHON_OPENAI_VERSION}`, import.meta.url));
  const python = join(folder, 'bin/python');
  if (existsSync(python)) return python;
  const system = findProgram('python3');
  if (system === undefined) return without('there is no python3');
  mkdirSync(resolve(folder, '..'), { recursive: true });
  const building = mkdtempSync(`${folder}.building-`);
  try {
    process.stderr.write(`fetching openai ${PYTHON_OPENAI_VERSION} for Python into ${folder}\n`);
    const run = (command: string, args: readonly string[]) =>
      promisify(execFile)(command, args, { timeout: STEP_WAIT_MS });
    await run(system, ['-m', 'venv', building]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--retries', '1'];
    await run(join(building, 'bin/python'), [...pip, `openai==${PYTHON_OPENAI_VERSION}`]);
    // Another run may have been faster; its environment is as good. Python finds its packages by where it is started from.
    if (!existsSync(python)) renameSync(building, folder);
    return python;
  } catch (error) {
    return without((error as Error).message.trim().split('\n').at(-1) ?? '');
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

function without(why: string): undefined {
  process.stderr.write(`tests with OpenAI's Python client are left out: ${why}\n`);
  return undefined;
}

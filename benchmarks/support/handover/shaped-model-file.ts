import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CLI_PATH } from '../../../tools/node-process.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const VOCABULARY = join(ROOT, 'test/data/qwen2-vocab.gguf.gz');

/** The path of a GGUF file: the one named, or, of a named shape, one with random weights, made where there is none yet. */
export function shapedModelFile(shape: string): string {
  if (shape.endsWith('.gguf')) return resolve(shape);
  const folder = join(ROOT, '.cache/shaped-models');
  const path = join(folder, `${shape}-q8_0.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const make = ['model', 'make', '--shape', shape, '--type', 'q8_0', '--vocab', VOCABULARY, '--out', path];
  execFileSync(process.execPath, [CLI_PATH, ...make], { stdio: 'inherit' });
  return path;
}

import { readFileSync } from 'node:fs';
import type { Reading } from './settings/setting-values.ts';

/** What a file holds, without the blanks around it; what is wrong never repeats any of it. */
export function readSecretFile(path: string): Reading {
  let value: string;
  try {
    value = readFileSync(path, 'utf8').trim();
  } catch (error) {
    return { problem: `cannot be read from ${path}: ${(error as Error).message}` };
  }
  return value === '' ? { problem: 'must not be empty' } : { value };
}

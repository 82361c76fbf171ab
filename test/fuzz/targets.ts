import { readdirSync } from 'node:fs';
import type { FuzzTarget, OpenTarget } from './fuzz-target.ts';

const FOLDER = new URL('targets/', import.meta.url);

/** One for each reader of what comes from elsewhere: a file of `targets/`. */
export const TARGETS: readonly string[] = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => name.slice(0, -'.ts'.length))
  .sort();

/** Loaded late: only what is loaded while code is counted is told of by blocks. */
export async function openTarget(name: string): Promise<FuzzTarget> {
  const { open } = (await import(`./targets/${name}.ts`)) as { readonly open: OpenTarget };
  return open();
}

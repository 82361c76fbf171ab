import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { EdgeNodeConfig } from '../config/config.ts';
import { isEmbedded } from '../config/engine-kinds.ts';
import type { Check } from './check.ts';

/** The Node.js version that package.json asks for, `>=20.19`. */
function requiredVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { engines: { node: string } }).engines.node.replace('>=', '');
}

export function checkNodeVersion(version = process.versions.node): Check {
  const required = requiredVersion();
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [requiredMajor = 0, requiredMinor = 0] = required.split('.').map(Number);
  const enough = major > requiredMajor || (major === requiredMajor && minor >= requiredMinor);
  const found = `${version} on ${process.platform}-${process.arch}`;
  return enough
    ? { name: 'Node.js', outcome: 'ok', found }
    : {
        name: 'Node.js',
        outcome: 'missing',
        found,
        fix: `install Node.js ${required} or newer from https://nodejs.org`,
      };
}

export function checkThreads({ threads, models }: EdgeNodeConfig): Check {
  const cores = availableParallelism();
  const found = `${cores} cores, ${threads} compute ${threads === 1 ? 'thread' : 'threads'}`;
  const runsHere = models.some(({ source }) => isEmbedded(source));
  if (!runsHere || threads < cores || cores === 1) return { name: 'cores', outcome: 'ok', found };
  return {
    name: 'cores',
    outcome: 'warn',
    found,
    fix: `leave a core to the node itself: --threads ${cores - 1}`,
  };
}

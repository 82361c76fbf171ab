import type { FredVersion } from '../../src/context-store/fred/wire/contract.ts';

export type Order = 'equal' | 'older' | 'newer' | 'concurrent';

/** What `other` is to `version`. */
export function orderOf(version: FredVersion, other: FredVersion): Order {
  const nodes = new Set([...Object.keys(version), ...Object.keys(other)]);
  const differences = [...nodes].map((node) => (other[node] ?? 0) - (version[node] ?? 0));
  const [isNewer, isOlder] = [differences.some((by) => by > 0), differences.some((by) => by < 0)];
  if (isNewer && isOlder) return 'concurrent';
  return isNewer ? 'newer' : isOlder ? 'older' : 'equal';
}

/** The version of what `nodeId` writes when it knows of `known`. */
export function nextVersion(nodeId: string, known: readonly FredVersion[]): FredVersion {
  const next: Record<string, number> = {};
  for (const version of known) {
    for (const [node, tick] of Object.entries(version)) next[node] = Math.max(next[node] ?? 0, tick);
  }
  next[nodeId] = (next[nodeId] ?? 0) + 1;
  return next;
}

import type { Pending } from './pending-writes.ts';

/** What lmdb tells of an environment and one of its trees; the names are its own. */
export interface TreeStats {
  readonly pageSize: number;
  readonly treeDepth: number;
  readonly treeBranchPageCount: number;
  readonly overflowPages: number;
  readonly lastPageNumber: number;
  readonly free: {
    readonly treeBranchPageCount: number;
    readonly treeLeafPageCount: number;
    readonly overflowPages: number;
  };
}

/** Each tree may get a new root, and the tree of trees changes, too. */
const TREES = 11;
/** A value of this part of a page or more has pages of its own. */
const OVERFLOW_PART = 4;
/** A page's header, in front of a value that has pages of its own. */
const HEADER_BYTES = 16;
/** A split page takes at least this many more keys before it is split again: keys are a few hundred bytes at most. */
const KEYS_BETWEEN_SPLITS = 4;
const PAGE_NUMBER_BYTES = 8;

/** As if one tree were as deep and as wide as the deeper and the wider of both. */
export function largest(a: TreeStats, b: TreeStats): TreeStats {
  return {
    ...a,
    treeDepth: Math.max(a.treeDepth, b.treeDepth),
    treeBranchPageCount: Math.max(a.treeBranchPageCount, b.treeBranchPageCount),
    overflowPages: Math.max(a.overflowPages, b.overflowPages),
  };
}

/**
 * How many pages a transaction takes from the end of the file at most, as if no free page were used. Every put or remove
 * copies its path through the tree; a put may split each page of it, a remove takes in a neighbour. `stats` are those of the
 * largest tree: the others are no deeper, and have no more branches.
 */
export function pagesNeeded({ puts, removes, valueBytes }: Pending, stats: TreeStats): number {
  const { pageSize } = stats;
  const paths = puts + 2 * removes;
  const branches = Math.min(paths * stats.treeDepth, TREES * (stats.treeBranchPageCount + 2));
  const copies = Math.min(paths + branches, stats.lastPageNumber + 1);
  const splits = puts + branches + Math.ceil(puts / KEYS_BETWEEN_SPLITS) + TREES;
  const values = valueBytes
    .filter((bytes) => bytes >= pageSize / OVERFLOW_PART)
    .reduce((sum, bytes) => sum + Math.ceil((bytes + HEADER_BYTES) / pageSize), 0);
  const freed = copies + (removes + puts > 0 ? stats.overflowPages : 0);
  const { free } = stats;
  const freeTree = free.treeBranchPageCount + free.treeLeafPageCount + free.overflowPages;
  const freeList = 2 * (freeTree + Math.ceil((freed * PAGE_NUMBER_BYTES) / pageSize)) + TREES;
  return copies + splits + values + freeList;
}

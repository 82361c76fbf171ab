/** As in the paper on it (Cormack, Clarke, Büttcher 2009): being first in one ranking does not outweigh being near the front in both. */
const RANK_OFFSET = 60;

/** One ranking of several by reciprocal rank fusion, the best first: their scores need not be comparable, and none need hold all. */
export function fusedRanks<Id>(rankings: readonly (readonly Id[])[]): Id[] {
  const scores = new Map<Id, number>();
  for (const ranking of rankings) {
    for (const [rank, id] of ranking.entries()) scores.set(id, (scores.get(id) ?? 0) + 1 / (RANK_OFFSET + 1 + rank));
  }
  return [...scores].sort(([, a], [, b]) => b - a).map(([id]) => id);
}

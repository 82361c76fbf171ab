import { Chance } from '../../tools/chance.ts';

/** How two answers' times differ: of so many rounds, in how many either was slower than the other by more than the margin. */
export interface TimeDifference {
  readonly rounds: number;
  readonly firstSlower: number;
  readonly secondSlower: number;
}

/**
 * Standard deviations of a fair coin from half of the rounds, beyond which it is no coin: 10⁻⁹ by chance, so that a hundred
 * comparisons raise a false alarm once in ten million runs, however noisy the machine is.
 */
const DEVIATIONS_MAX = 6;
/** Until code is compiled and caches are warm. */
const WARM_UP_ROUNDS = 200;

/**
 * Asks both in turn, which of them first by chance, so that what slows the machine down slows both down. Which of a round's two was
 * slower, and not by how much, is what counts: one that was interrupted counts as any other.
 */
export async function timeDifference(
  [first, second]: readonly [() => unknown, () => unknown],
  { rounds, marginUs, seed = 1 }: { readonly rounds: number; readonly marginUs: number; readonly seed?: number },
): Promise<TimeDifference> {
  const chance = new Chance(seed);
  let [firstSlower, secondSlower] = [0, 0];
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    const isFirst = chance.oneIn(2);
    const one = await timeOf(isFirst ? first : second);
    const other = await timeOf(isFirst ? second : first);
    const difference = isFirst ? one - other : other - one;
    if (round < 0) continue;
    if (difference > marginUs) firstSlower++;
    if (-difference > marginUs) secondSlower++;
  }
  return { rounds, firstSlower, secondSlower };
}

/** Whether somebody who measures so often can tell which is which. */
export function canBeTold({ rounds, firstSlower, secondSlower }: TimeDifference): boolean {
  return Math.max(firstSlower, secondSlower) > rounds / 2 + DEVIATIONS_MAX * Math.sqrt(rounds / 4);
}

async function timeOf(ask: () => unknown): Promise<number> {
  const start = process.hrtime.bigint();
  const asked = ask();
  if (asked !== undefined) await asked;
  return Number(process.hrtime.bigint() - start) / 1000;
}

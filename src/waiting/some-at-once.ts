/** What `work` makes of each item, in their order, with at most `atOnce` of it under way. Nothing is begun after a failure. */
export async function someAtOnce<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  let next = 0;
  const workOn = async () => {
    while (next < items.length) {
      const i = next++;
      results[i] = await work(items[i] as Item);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, workOn));
  } finally {
    next = items.length;
  }
  return results;
}

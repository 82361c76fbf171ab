/**
 * What all of them come to. Throws what the first of them threw, once all are over: a reply has its end when nothing goes on for
 * it any more.
 */
export async function allOver<T>(replies: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(replies);
  return Promise.all(replies);
}

import type { Clock } from '../environment/environment.ts';

/**
 * What `work` comes to within `waitMs`; after that what `whenLate` returns or throws. The work itself goes on, and what it
 * comes to then is dropped.
 */
export async function within<T, Late = T>(
  { clock, waitMs }: { readonly clock: Clock; readonly waitMs: number },
  work: Promise<T>,
  whenLate: () => Late | Promise<Late>,
): Promise<T | Late> {
  let cancelTimer = () => {};
  const late = new Promise<void>((resolve) => {
    cancelTimer = clock.after(waitMs, resolve);
  }).then(whenLate);
  try {
    return await Promise.race([work, late]);
  } finally {
    cancelTimer();
  }
}

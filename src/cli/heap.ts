import { setFlagsFromString } from 'node:v8';

/** Of what lives in the old generation, before it is collected again. Unset, V8 lets it grow to the threefold. */
const GROWTH_PERCENT = 30;
/** V8's own: a young generation in which much survives doubles. */
const YOUNG_GROWTH = 2;

/**
 * Holds this process's heap to what it needs, at the price of collecting it more often: the young generation at its first size while the
 * program is read, of which most is garbage at once, and the old one near what lives in it, so that settings bound memory.
 */
export function holdHeap(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}

/** For when the program is read and has work to do. */
export function letYoungGenerationGrow(): void {
  setFlagsFromString(`--semi-space-growth-factor=${YOUNG_GROWTH}`);
}

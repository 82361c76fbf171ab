import type { MemoryPlan, Window } from './memory-need.ts';

/** Turns at once, unless asked otherwise and while memory allows. */
export const PARALLEL_DEFAULT = 4;

/** A window that conversations fit into; fewer sequences are better than a shorter one. */
const GOOD_WINDOW_TOKENS = 8_192;

/** Below this a conversation is mostly what was left out; a model that has no room for it is tried all the same. */
const LEAST_WINDOW_TOKENS = 2_048;

/** The rest is for the node, for the system, and for what llama.cpp takes beyond its plan. */
const SHARE_OF_AVAILABLE = 0.75;

export interface WindowAsked {
  /** `undefined`: to be chosen, at most what the model was trained with. */
  readonly contextTokens: number | undefined;
  /** `undefined`: to be chosen, at most {@link PARALLEL_DEFAULT}. */
  readonly parallel: number | undefined;
}

export interface ChosenWindow extends Window {
  readonly neededBytes: number;
  /** Whether it is within what may be taken of the memory there is. */
  readonly fits: boolean;
}

/**
 * The longest window, by halves of the trained one, and the most sequences that fit into memory: four sequences rather than
 * a window beyond {@link GOOD_WINDOW_TOKENS}, but that window rather than more than one sequence. What was asked for is left as
 * it is. Where nothing fits, the least.
 */
export async function chooseWindow(
  asked: WindowAsked,
  on: { readonly plan: MemoryPlan; readonly availableBytes: number },
): Promise<ChosenWindow> {
  const { plan, availableBytes } = on;
  const windows =
    asked.contextTokens === undefined
      ? halvesOf(plan.trainedTokens)
      : [Math.min(asked.contextTokens, plan.trainedTokens)];
  const sequences = asked.parallel === undefined ? [PARALLEL_DEFAULT, 2, 1] : [asked.parallel];
  const isGood = (tokens: number) => tokens >= Math.min(GOOD_WINDOW_TOKENS, windows[0] as number);
  const candidates = [
    ...sequences.flatMap((parallel) => windows.filter(isGood).map((contextTokens) => ({ contextTokens, parallel }))),
    ...windows
      .filter((tokens) => !isGood(tokens))
      .map((contextTokens) => ({ contextTokens, parallel: sequences.at(-1) as number })),
  ];
  let chosen: ChosenWindow | undefined;
  for (const window of candidates) {
    const neededBytes = await plan.neededBytes(window);
    chosen = { ...window, neededBytes, fits: neededBytes <= availableBytes * SHARE_OF_AVAILABLE };
    if (chosen.fits) break;
  }
  return chosen as ChosenWindow;
}

function halvesOf(trainedTokens: number): number[] {
  const windows = [trainedTokens];
  for (let half = 2 ** Math.ceil(Math.log2(trainedTokens) - 1); half >= LEAST_WINDOW_TOKENS; half /= 2)
    windows.push(half);
  return windows;
}

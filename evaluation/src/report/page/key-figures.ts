import type { Figure, Topic } from '../figures/figure.ts';

/** What stands first on the page, in this order. */
export const KEY_HEADINGS: Readonly<Record<Topic, string>> = {
  request: 'What a client sends',
  'between-nodes': 'What goes between the nodes',
  move: 'What a move costs',
  'warm-move': 'What a move costs where the next node is warm',
};

/** One figure a topic, the first that shows something; a topic without one is left out. */
export function keyFigures(figures: readonly Figure[]): Figure[] {
  return (Object.keys(KEY_HEADINGS) as Topic[]).flatMap(
    (topic) => figures.find((figure) => figure.topic === topic && figure.standing === 'shown') ?? [],
  );
}

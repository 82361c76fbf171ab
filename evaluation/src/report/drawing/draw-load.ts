import { LOAD_MEASURES, type LoadMeasure, type LoadSeries } from '../numbers/load-levels.ts';
import { type Canvas, type Drawing, FIGURE_WIDTH, mark, stroke } from './canvas.ts';
import { COLOURS, lookAt } from './looks.ts';

export const LOAD_COLUMNS = 3;
const PANEL_HEIGHT = 270;

/** One measure over the number of parallel users, a line a series. */
export function drawLoad(canvas: Canvas, series: readonly LoadSeries[], measure: LoadMeasure): Drawing {
  const { plot } = canvas;
  const { divisor } = LOAD_MEASURES[measure];
  const lines = series.map(({ levels }) =>
    levels.flatMap(({ users, estimates }) => {
      const estimate = estimates[measure];
      if (estimate === undefined) return [];
      return [{ users, y: estimate.value / divisor, low: estimate.low / divisor, high: estimate.high / divisor }];
    }),
  );
  const users = [...new Set(lines.flat().map((dot) => dot.users))].sort((a, b) => a - b);
  const [least, most] = [users[0] ?? 1, users.at(-1) ?? 1];
  return canvas.draw({
    width: (FIGURE_WIDTH + 18) / LOAD_COLUMNS - 18,
    height: PANEL_HEIGHT,
    marginTop: 10,
    marginBottom: 42,
    marginLeft: 44,
    marginRight: 12,
    x: {
      type: 'log',
      base: 2,
      domain: [least / 1.2, most * 1.2],
      ticks: users,
      tickFormat: 'd',
      label: 'Users at once',
      labelAnchor: 'center',
      labelArrow: 'none',
    },
    y: {
      domain: [0, Math.max(...lines.flat().map(({ high }) => high), 0) * 1.08 || 1],
      nice: true,
      label: null,
      ticks: 6,
    },
    marks: [
      plot.gridY({ stroke: COLOURS.grid, strokeOpacity: 1, ticks: 6 }),
      plot.ruleY([0], { stroke: COLOURS.ink }),
      ...lines.flatMap((dots, place) => [
        plot.line(dots, { x: 'users', y: 'y', ...stroke(lookAt(place)) }),
        plot.ruleX(dots, { x: 'users', y1: 'low', y2: 'high', stroke: lookAt(place).colour, strokeWidth: 1.2 }),
        plot.dot(dots, { x: 'users', y: 'y', ...mark(lookAt(place)) }),
      ]),
    ],
  });
}

import type { Estimate } from '../numbers/statistics.ts';
import { type Canvas, type Drawing, FIGURE_WIDTH, mark, TEXT_PX, textWidth, wrapText } from './canvas.ts';
import { COLOURS, type Look } from './looks.ts';

export interface RowMark {
  readonly look: Look;
  readonly estimate: Estimate;
}

/** A row of a chart: a name, a mark a variant, and what they come to in words. */
export interface ChartRow {
  readonly name: string;
  readonly marks: readonly RowMark[];
  readonly result: string;
}

export interface RowsChart {
  readonly rows: readonly ChartRow[];
  readonly label: string;
  readonly divisor: number;
  /** Shares around 0, with a rule there; else values from 0 up. */
  readonly isChange: boolean;
  /** Above the results; may be empty. */
  readonly resultHeading: string;
}

const MARK_GAP = 15;
const ROW_PADDING = 16;
const NAME_WIDTH_MAX = 270;
const RESULT_WIDTH_MAX = 240;

/** Marks with their intervals along one axis, rows under each other. */
export function drawRows(canvas: Canvas, { rows, label, divisor, isChange, resultHeading }: RowsChart): Drawing {
  const { plot } = canvas;
  const nameWidth = Math.min(NAME_WIDTH_MAX, Math.max(...rows.map(({ name }) => textWidth(name, TEXT_PX)))) + 14;
  const resultTexts = [resultHeading, ...rows.map(({ result }) => result)];
  const resultWidth = Math.min(RESULT_WIDTH_MAX, Math.max(...resultTexts.map((text) => textWidth(text, TEXT_PX)))) + 18;
  const top = resultHeading === '' ? 6 : 24;
  const names = rows.map(({ name }) => wrapText(name, nameWidth - 10, TEXT_PX));
  const results = rows.map(({ result }) => wrapText(result, resultWidth - 14, TEXT_PX));
  const heights = rows.map(({ marks }, index) => {
    const lines = Math.max((names[index] as string[]).length, (results[index] as string[]).length);
    return Math.max(marks.length * MARK_GAP, lines * (TEXT_PX + 3)) + ROW_PADDING;
  });
  const middles = heights.map((height, index) => heights.slice(0, index).reduce((a, b) => a + b, 0) + height / 2);
  const total = heights.reduce((a, b) => a + b, 0);
  const dots = rows.flatMap(({ marks }, row) =>
    marks.map(({ look, estimate }, place) => ({
      look,
      x: estimate.value / divisor,
      low: estimate.low / divisor,
      high: estimate.high / divisor,
      y: (middles[row] as number) + (place - (marks.length - 1) / 2) * MARK_GAP,
    })),
  );
  const ends = dots.flatMap(({ low, high }) => [low, high]);
  const [least, most] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const spare = (most - least || 1) * 0.06;
  const borders = heights.slice(1).map((_, index) => heights.slice(0, index + 1).reduce((a, b) => a + b, 0));
  const lineText = (texts: readonly (readonly string[])[]) => texts.map((lines) => lines.join('\n'));
  const byRow = (texts: readonly string[]) => texts.map((text, row) => ({ text, y: middles[row] as number }));
  return canvas.draw({
    width: FIGURE_WIDTH,
    height: total + top + 44,
    marginTop: top,
    marginBottom: 44,
    marginLeft: nameWidth,
    marginRight: resultWidth,
    x: {
      domain: [least < 0 ? least - spare : 0, most + spare],
      label,
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: 6,
      ...(isChange ? { tickFormat: (value: number) => `${value > 0 ? '+' : ''}${value}`.replace('-', '−') } : {}),
    },
    y: { axis: null, type: 'linear', domain: [0, total], range: [top, total + top] },
    marks: [
      plot.gridX({ stroke: COLOURS.grid, strokeOpacity: 1, ticks: 6 }),
      plot.ruleX([0], { stroke: COLOURS.ink, ...(isChange ? { strokeWidth: 1.5 } : {}) }),
      plot.text(resultHeading === '' ? [] : [resultHeading], {
        frameAnchor: 'top-right',
        textAnchor: 'start',
        dx: 12,
        dy: -18,
        fill: COLOURS.muted,
      }),
      plot.ruleY(borders, { stroke: COLOURS.grid }),
      ...dots.flatMap((dot) => [
        plot.ruleY([dot], { y: 'y', x1: 'low', x2: 'high', stroke: dot.look.colour, strokeWidth: 1.6 }),
        plot.dot([dot], { x: 'x', y: 'y', ...mark(dot.look) }),
      ]),
      plot.text(byRow(lineText(names)), {
        y: 'y',
        text: 'text',
        frameAnchor: 'left',
        textAnchor: 'end',
        dx: -10,
        lineHeight: 1.2,
      }),
      plot.text(byRow(lineText(results)), {
        y: 'y',
        text: 'text',
        frameAnchor: 'right',
        textAnchor: 'start',
        dx: 12,
        lineHeight: 1.2,
      }),
    ],
  });
}

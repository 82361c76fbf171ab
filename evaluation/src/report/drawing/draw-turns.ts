import { type Comparison, looksOf } from '../numbers/comparison.ts';
import type { Arm } from '../source/panels.ts';
import { type Canvas, type Drawing, FIGURE_WIDTH, mark, shortened, stroke, TEXT_PX, textWidth } from './canvas.ts';
import { COLOURS, type Look, variantName } from './looks.ts';
import { scaleFor } from './metric-scale.ts';

/** Turns in a row at one node. */
export interface Stay {
  readonly node: string;
  readonly first: number;
  readonly last: number;
}

export interface DrawnTurns {
  readonly drawings: readonly Drawing[];
  readonly columns: number;
  /** Whether lines are named where they end, and need no legend. */
  readonly named: boolean;
}

const PANEL_HEIGHT = 250;
const MARGINS = { top: 26, bottom: 40, left: 54 } as const;
/** Between the marks of two variants at one turn. */
const ASIDE_PX = 6;
/** Less apart than this, names at the ends of lines touch. */
const NAME_GAP_PX = TEXT_PX + 3;

/** One panel a comparison: the metric over turns, a line a variant, on axes of one scale. */
export function drawTurns(canvas: Canvas, comparisons: readonly Comparison[]): DrawnTurns {
  const columns = comparisons.length === 1 ? 1 : 2;
  const width = (FIGURE_WIDTH - (columns - 1) * 18) / columns;
  const highs = comparisons.flatMap(({ series }) =>
    series.flatMap(({ points }) => points.map(({ estimate }) => estimate.high)),
  );
  const largest = Math.max(...highs, 0);
  const [first] = comparisons as [Comparison];
  const { label, divisor } = scaleFor(first.metric, largest);
  const domain = [0, (largest / divisor) * 1.08 || 1] as const;
  const named = columns === 1 && first.series.length > 1 && endsApart(first, largest);
  const looks = looksOf(comparisons);
  const drawings = comparisons.map((comparison) =>
    drawPanel(canvas, comparison, { width, label, divisor, domain, named, looks }),
  );
  return { drawings, columns, named };
}

/** What long sessions leave out of their pictures; empty for others. */
export function denseNote(turns: number): string {
  return turns > DENSE_TURNS ? `Marks and intervals stand at every ${MARKED_EVERY}th turn.` : '';
}

const DENSE_TURNS = 20;
const MARKED_EVERY = 7;

function drawPanel(
  canvas: Canvas,
  { series }: Comparison,
  {
    width,
    label,
    divisor,
    domain,
    named,
    looks,
  }: {
    readonly width: number;
    readonly label: string;
    readonly divisor: number;
    readonly domain: readonly [number, number];
    readonly named: boolean;
    readonly looks: ReadonlyMap<string, Look>;
  },
): Drawing {
  const { plot } = canvas;
  const turns = [...new Set(series.flatMap(({ points }) => points.map(({ turn }) => turn)))].sort((a, b) => a - b);
  const [first, last] = [turns[0] ?? 1, turns.at(-1) ?? 1];
  const stays = staysOf(series.map(({ arm }) => arm));
  const names = series.map(({ arm }) => variantName(arm.variant));
  const marginRight = named ? 14 + Math.max(...names.map((name) => textWidth(name, TEXT_PX))) : 14;
  const ticks = turns.length <= 12 ? turns : turns.filter((turn) => turn === 1 || turn % 10 === 0);
  const turnPx = (width - MARGINS.left - marginRight) / (last - first + 0.8);
  // Marks of two variants at one turn stand beside each other, not on each other.
  const aside = (place: number) => ((place - (series.length - 1) / 2) * ASIDE_PX) / turnPx;
  const dense = turns.length > DENSE_TURNS;
  const marks = series.flatMap(({ points, arm }, place) => {
    const look = looks.get(arm.variant) as Look;
    const dots = points.map(({ turn, estimate }) => ({
      x: turn + (dense ? 0 : aside(place)),
      y: estimate.value / divisor,
      low: estimate.low / divisor,
      high: estimate.high / divisor,
    }));
    const end = dots.at(-1);
    const marked = dense ? dots.filter((_, index) => index % MARKED_EVERY === place * 2) : dots;
    return [
      plot.line(dots, { x: 'x', y: 'y', ...stroke(look) }),
      plot.ruleX(marked, { x: 'x', y1: 'low', y2: 'high', stroke: look.colour, strokeWidth: 1.2 }),
      plot.dot(marked, { x: 'x', y: 'y', ...mark(look) }),
      ...(named && end !== undefined
        ? [
            plot.text([end], {
              x: 'x',
              y: 'y',
              text: () => variantName(arm.variant),
              textAnchor: 'start',
              dx: 10,
              fill: look.colour,
              fontWeight: 700,
            }),
          ]
        : []),
    ];
  });
  return canvas.draw({
    width,
    height: PANEL_HEIGHT,
    marginTop: MARGINS.top + (stays.length > 1 ? 18 : 0),
    marginBottom: MARGINS.bottom,
    marginLeft: MARGINS.left,
    marginRight,
    x: {
      domain: [first - 0.4, last + 0.4],
      ticks,
      tickFormat: 'd',
      label: 'Turn',
      labelAnchor: 'center',
      labelArrow: 'none',
    },
    y: { domain: [...domain], grid: false, label, labelArrow: 'none', ticks: 6, nice: true },
    marks: [
      plot.gridY({ stroke: COLOURS.grid, strokeOpacity: 1, ticks: 6 }),
      plot.ruleY([0], { stroke: COLOURS.ink }),
      ...nodeChanges(canvas, stays, turnPx),
      ...marks,
    ],
  });
}

/** Where the client went to another node: a rule between the turns, and the nodes' names above. */
function nodeChanges({ plot }: Canvas, stays: readonly Stay[], turnPx: number) {
  if (stays.length < 2) return [];
  const changes = stays.slice(1).map(({ first }) => first - 0.5);
  return [
    plot.ruleX(changes, { stroke: COLOURS.muted, strokeWidth: 1, strokeDasharray: '3,3' }),
    plot.text(stays, {
      x: ({ first, last }: Stay) => (first + last) / 2,
      text: ({ node, first, last }: Stay) => shortened(node, (last - first + 1) * turnPx - 6, TEXT_PX),
      frameAnchor: 'top',
      dy: -14,
      fill: COLOURS.muted,
    }),
  ];
}

/** By the turns of whichever variant has them; empty where nobody moved. */
export function staysOf(arms: readonly Arm[]): Stay[] {
  const rows = arms.flatMap(({ turns }) => turns);
  if (!rows.some(({ moved }) => moved)) return [];
  const nodes = new Map(rows.map(({ turn, node }) => [turn, node]));
  const stays: Stay[] = [];
  for (const [turn, node] of [...nodes].sort(([a], [b]) => a - b)) {
    const stay = stays.at(-1);
    if (stay?.node === node) stays[stays.length - 1] = { ...stay, last: turn };
    else stays.push({ node, first: turn, last: turn });
  }
  return stays;
}

function endsApart({ series }: Comparison, largest: number): boolean {
  const height = PANEL_HEIGHT - MARGINS.top - MARGINS.bottom;
  const ends = series
    .flatMap(({ points }) => points.at(-1)?.estimate.value ?? [])
    .map((value) => (value / (largest * 1.08)) * height)
    .sort((a, b) => a - b);
  return ends.every((end, index) => index === 0 || end - (ends[index - 1] as number) >= NAME_GAP_PX);
}

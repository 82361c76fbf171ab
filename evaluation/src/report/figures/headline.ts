import { variantName } from '../drawing/looks.ts';
import { type Comparison, compare } from '../numbers/comparison.ts';
import { METRICS, type Metric } from '../numbers/metrics.ts';
import { changeText, wholeNumber } from '../numbers/number-text.ts';
import { type Verdict, verdictOf } from '../numbers/statistics.ts';
import type { Panel } from '../source/panels.ts';
import { type PlannedPart, syncMetric } from '../source/planned-part.ts';
import { changeCell, panelDatum, valueCell } from './figure-tables.ts';
import { PAPER_CHANGES, PAPER_SESSION_SYNC_BYTES, type PaperNumber } from './paper-numbers.ts';
import { type Cell, columnHeading, rowHeading, type Table } from './table.ts';

const VERDICTS: Readonly<Record<Verdict, string>> = {
  less: 'lower',
  more: 'higher',
  'no-difference': 'no difference',
  'one-session': 'one session, not tested',
};

const PAPER = 'Paper';

/** The paper's headline numbers beside ours, a row a panel. Rows of what was not measured say so. */
export function headlineTable(parts: readonly PlannedPart[]): Table {
  return {
    caption: "The paper's headline numbers (on its two devices) beside ours: changes of medians (95 % intervals)",
    head: [['', PAPER, 'Where', 'Ours', 'Shown'].map((text) => columnHeading(text))],
    body: [...PAPER_CHANGES.flatMap((number) => changeRows(number, parts)), ...sessionByteRows(parts)],
  };
}

function changeRows(number: PaperNumber, parts: readonly PlannedPart[]): Cell[][] {
  const { label, figure, changes } = number;
  const paper = changes.map((change) => changeText(change, 2).replace(/\.?0+(?= %)/, '')).join(' and ');
  const rows = comparableParts(number, parts).flatMap(({ panels }) =>
    panels.flatMap((panel) => {
      const baseline = number.baselines.find((variant) => hasArm(panel, variant));
      const comparison = baseline === undefined ? undefined : comparisonFor(number, panel, panels);
      const change = comparison?.series.find(({ arm }) => arm.variant === baseline)?.change;
      if (baseline === undefined || comparison === undefined || change === undefined) return [];
      const { metric } = comparison;
      const datum = { ...panelDatum(panel), metric: metric.id, variant: number.subject, baseline };
      return [[{ text: whereText(comparison) }, changeCell(change, datum), { text: VERDICTS[verdictOf(change)] }]];
    }),
  );
  return under(
    [
      rowHeading(figure === undefined ? label : `${label} (${figure})`),
      { text: paper === '' ? NOT_IN_PAPER : paper, label: PAPER },
    ],
    rows.length > 0 ? rows : [NOT_MEASURED],
  );
}

const NOT_IN_PAPER = '–';
const NOT_MEASURED: Cell[] = [{ text: '' }, { text: 'not measured' }, { text: '' }];

function whereText({ panel, metric }: Comparison): string {
  const isSync = metric.id.startsWith('sync_');
  return [
    // Of what the paper has no number for, it is no part of its own.
    ...(metric === METRICS.first_token_after_move_ms ? [panel.part.replaceAll('-', ' ')] : []),
    panel.label,
    ...(metric === METRICS.sync_payload_bytes ? ['payload alone'] : []),
    // How well text is compressed goes by its words, how many bytes ids take does not.
    ...(isSync && panel.replySources.includes('random-weights') ? ['replies of random weights'] : []),
  ].join(', ');
}

/** Cells that stand once, before all of these rows. */
function under(first: readonly Cell[], rows: readonly (readonly Cell[])[]): Cell[][] {
  return rows.map((row, index) =>
    index === 0 ? [...first.map((cell) => ({ ...cell, rows: rows.length })), ...row] : [...row],
  );
}

/** The paper roams when it compares with a client that keeps its history, and stays put when it compares ids with text. */
function comparableParts(number: PaperNumber, parts: readonly PlannedPart[]): PlannedPart[] {
  const { subject, baselines, changes, metric } = number;
  const played = parts.filter(({ panels }) => panels.some((panel) => hasArm(panel, subject)));
  const ofKind = (wanted: PlannedPart['kind']) => played.filter(({ kind }) => kind === wanted);
  const papers = (some: readonly PlannedPart[]) => some.filter(({ isPapers }) => isPapers);
  const roaming = ofKind('roaming');
  if (changes.length === 0) return roaming;
  const still = papers(ofKind('turns'));
  if (!baselines.includes('client-side')) return still;
  // What a request weighs does not depend on where it goes.
  return papers(roaming).length > 0 || metric !== 'request_bytes' ? papers(roaming) : still;
}

function hasArm({ arms }: Panel, wanted: string): boolean {
  return arms.some(({ variant }) => variant === wanted);
}

function comparisonFor({ metric, subject }: PaperNumber, panel: Panel, all: readonly Panel[]) {
  if (!hasArm(panel, subject)) return undefined;
  return compare(
    panel,
    metric === 'sync_bytes' ? syncMetric(all) : (METRICS as Readonly<Record<string, Metric>>)[metric]!,
  );
}

function sessionByteRows(parts: readonly PlannedPart[]): Cell[][] {
  const still = parts.filter(({ kind, isPapers }) => isPapers && kind === 'turns');
  return Object.entries(PAPER_SESSION_SYNC_BYTES).flatMap(([variant, paperBytes]) => {
    const rows = still.flatMap(({ panels }) =>
      panels.flatMap((panel) => {
        const comparison = compare(panel, syncMetric(panels));
        const series = comparison?.series.find(({ arm }) => arm.variant === variant);
        if (comparison === undefined || series === undefined) return [];
        const { metric } = comparison;
        const datum = { ...panelDatum(panel), metric: metric.id, variant };
        return [[{ text: whereText(comparison) }, valueCell(series.overall, metric.text, datum), { text: '' }]];
      }),
    );
    const heading = rowHeading(`Bytes between nodes for one session, ${variantName(variant).toLowerCase()}`);
    return under(
      [heading, { text: paperBytes.map(wholeNumber).join(' and '), label: PAPER }],
      rows.length > 0 ? rows : [NOT_MEASURED],
    );
  });
}

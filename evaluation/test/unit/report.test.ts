// Holds the report to its rows: every number in its tables is computed again here, from the rows and by other code; titles
// must follow the numbers wherever they go; nothing on the page may come from elsewhere; and files that are not runs, or
// not of this version, must be refused by name, incomplete ones marked.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseHTML } from 'linkedom';
import { describe, expect, it } from 'vitest';
import type { ExperimentRow, ExperimentTurn, LoadRow, SyncRow } from '../../src/experiments/rows/experiment-rows.ts';
import { composeReport } from '../../src/report/compose-report.ts';
import { makeReport } from '../../src/report/make-report.ts';
import { pageMarkup } from '../../src/report/page/page.ts';
import type { RunRow } from '../../src/scenario/run-row.ts';
import { growthRows, handoverRows, loadRows, paperRows, scenarioRows, writeRows } from '../samples/sample-rows.ts';

interface Page {
  readonly html: string;
  readonly document: Document;
  readonly findings: readonly string[];
  readonly flaws: readonly string[];
}

/** Of the browser's types, which this project does without. */
interface Document {
  querySelectorAll(selector: string): Iterable<Element>;
}
interface Element extends Document {
  readonly textContent: string;
  readonly dataset: Readonly<Record<string, string>>;
  getAttribute(name: string): string | null;
}

async function reportOf(runs: readonly (readonly object[])[], compare = false): Promise<Page> {
  const parts = await composeReport({ paths: runs.map((rows) => writeRows(rows)), compare });
  const html = pageMarkup(parts);
  const document = parseHTML(html).document as unknown as Document;
  const flaws = parts.sources.flatMap((source) => source.flaws);
  return { html, document, findings: parts.figures.map(({ finding }) => finding), flaws };
}

const cells = ({ document }: Page) => [...document.querySelectorAll('td[data-metric]')];

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(at)] as number) + (sorted[Math.ceil(at)] as number)) / 2;
}

type Where = Readonly<Record<string, string>>;

function isOf(labels: ExperimentTurn['labels'], { part, llm, setting, variant }: Where): boolean {
  // What no setting concerns is compared with each of them.
  const settings = setting === undefined || [setting, 'any'].includes(labels.setting);
  return labels.part === part && labels.llm_service === llm && settings && labels.variant === variant;
}

/** The number that a cell ought to show, from the rows alone. */
function recomputed(rows: readonly ExperimentRow[], where: Where): number {
  const { metric = '', turn, users } = where;
  const turns = rows.filter((row): row is ExperimentTurn => row.kind === 'turn' && isOf(row.labels, where));
  const syncs = rows.filter((row): row is SyncRow => row.kind === 'sync' && isOf(row.labels, where));
  const loads = rows.filter(
    (row): row is LoadRow => row.kind === 'load' && isOf(row.labels, where) && String(row.users) === users,
  );
  switch (metric) {
    case 'sync_bytes':
    case 'sync_payload_bytes': {
      const field = metric === 'sync_bytes' ? 'wire_bytes' : 'payload_bytes';
      const wanted = syncs.filter((row) => String(row.turn) === (turn ?? 'null'));
      if (wanted.length > 0) return middle(wanted.map((row) => row[field] as number));
      const repeats = new Map<number, number>();
      for (const { labels, ...row } of syncs) {
        repeats.set(labels.repeat, (repeats.get(labels.repeat) ?? 0) + (row[field] as number));
      }
      return middle([...repeats.values()]);
    }
    case 'arrive_ms': {
      const wanted = syncs.filter((row) => row.turn !== null && (turn === undefined || String(row.turn) === turn));
      return middle(wanted.map((row) => row.arrive_ms as number));
    }
    case 'turns_per_s':
      return middle(loads.map((row) => row.turns_per_s));
    case 'response_p50':
      return middle(loads.map((row) => row.response_ms.p50 as number));
    case 'response_p95':
      return middle(loads.map((row) => row.response_ms.p95 as number));
    case 'turns_failed':
      return loads.reduce((sum, row) => sum + row.turns_failed, 0);
    case 'first_token_after_move_ms':
      return middle(
        turns.filter(({ error, moved }) => error === '' && moved).map((row) => row.first_token_ms as number),
      );
    default: {
      const answered = turns.filter((row) => row.error === '' && (turn === undefined || String(row.turn) === turn));
      return middle(answered.map((row) => row[metric as 'response_ms']));
    }
  }
}

/** The number in a cell's text, before its interval, and half of what its last digit stands for. */
function shownNumber(text: string): { readonly value: number; readonly within: number } {
  const digits = text.split(' (')[0]?.replaceAll(',', '').replace('−', '-').replace(/[+±%]/g, '').trim() ?? '';
  return { value: Number(digits), within: 0.5 * 10 ** -(digits.split('.')[1]?.length ?? 0) };
}

describe('rows and report agree', () => {
  it.each([
    ['paper', paperRows()],
    ['growth', growthRows({ repeats: 2 })],
    ['load', loadRows()],
    ['handover', handoverRows()],
  ] as const)('every number in the tables of %s is that of its rows', async (_, rows) => {
    const found = cells(await reportOf([rows]));
    expect(found.length).toBeGreaterThan(30);
    for (const { dataset, textContent } of found) {
      const { baseline } = dataset;
      const own = recomputed(rows, dataset);
      const expected = baseline === undefined ? own : own / recomputed(rows, { ...dataset, variant: baseline }) - 1;
      expect(Number(dataset.value), JSON.stringify(dataset)).toBeCloseTo(expected, 6);
      const unit = baseline !== undefined ? 100 : dataset.metric?.startsWith('response_p') ? 0.001 : 1;
      const { value, within } = shownNumber(textContent);
      expect(Math.abs(value - expected * unit), textContent).toBeLessThanOrEqual(within + 1e-6);
      if (dataset.low !== undefined) {
        expect(Number(dataset.low)).toBeLessThanOrEqual(Number(dataset.value));
        expect(Number(dataset.high)).toBeGreaterThanOrEqual(Number(dataset.value));
      }
    }
  });

  it('a table has no number but those, the users of a level and the paper’s', async () => {
    const page = await reportOf([paperRows({ repeats: 2 }), loadRows({ repeats: 2 })]);
    const others = [...page.document.querySelectorAll('figure td:not([data-metric])')].map((cell) => cell.textContent);
    expect(others.filter((text) => /\d/.test(text) && !/^(1|2|4|8|16|32|64)$/.test(text))).toEqual([]);
    const paper = [...page.document.querySelectorAll('.headline td:not([data-metric])')].map(
      (cell) => cell.textContent,
    );
    const known = ['−14.46 % and −8.75 %', '+2.85 % and +1.41 %', '−15 % and −13.3 %', '−5.93 %', '−90 %'];
    const numbers = paper.filter((text) => /\d/.test(text) && !text.includes('retries'));
    expect(new Set(numbers)).toEqual(new Set([...known, '34,956 and 36,101', '40,340 and 42,468']));
  });

  it('turns that failed count for nothing, and are counted', async () => {
    const rows = paperRows({ repeats: 2 }).map((row, index) =>
      row.kind === 'turn' && index % 7 === 0 ? { ...row, error: 'llm_timeout', response_ms: 1e9 } : row,
    );
    const page = await reportOf([rows]);
    for (const { dataset } of cells(page).filter(
      (cell) => cell.dataset.metric === 'response_ms' && !cell.dataset.baseline,
    )) {
      expect(Number(dataset.value)).toBeCloseTo(recomputed(rows, dataset), 6);
    }
    expect(page.html).toMatch(/\d+ of \d+ turns, which failed/);
  });

  it('a transcript’s turns have bytes but no times', async () => {
    const rows = paperRows({ repeats: 2 }).map((row) =>
      row.kind === 'turn' || row.kind === 'sync'
        ? { ...row, labels: { ...row.labels, llm_service: 'transcript', reply_source: 'transcript' as const } }
        : row,
    );
    const metrics = new Set(cells(await reportOf([rows])).map(({ dataset }) => dataset.metric));
    expect(metrics).toEqual(new Set(['sync_bytes', 'request_bytes']));
  });

  it('what no setting concerns is compared with every setting of its part', async () => {
    const page = await reportOf([paperRows({ repeats: 2 })]);
    const settings = cells(page)
      .filter(({ dataset }) => dataset.part === 'roaming' && dataset.baseline === 'client-side')
      .map(({ dataset }) => dataset.setting);
    expect(new Set(settings)).toEqual(new Set(['ours', 'paper']));
  });
});

describe('titles say what the numbers say', () => {
  const title = async (tokenizedTimes: number) =>
    (await reportOf([paperRows({ tokenizedTimes, repeats: 3 })])).findings[0];

  it('sooner, later, or no difference', async () => {
    expect(await title(0.8)).toMatch(/^Tokenized context answers 1\d\.\d % to 2\d\.\d % sooner than raw text$/);
    expect(await title(1.25)).toMatch(/^Tokenized context answers 2\d\.\d % to 2\d\.\d % later than raw text$/);
    expect(await title(1)).toMatch(/no difference shown/i);
  });

  it('one session is no proof, and no headline', async () => {
    const page = await reportOf([paperRows({ repeats: 1 })]);
    for (const finding of page.findings) {
      expect(finding).toMatch(
        /too few to tell (it|a difference) from chance|^(Request bytes|Bytes between nodes) with/,
      );
    }
    expect(page.findings[0]).toMatch(/^Response time, tokenized context against raw text: one session each, too few/);
    expect(page.html).toContain('no intervals');
  });

  it('what a move costs is in the title, whatever a comparison shows', async () => {
    const rows = paperRows({ repeats: 3 }).map((row) =>
      row.kind === 'turn' && row.labels.part === 'roaming'
        ? { ...row, response_ms: 400, first_token_ms: row.moved ? 1_800 : 300 }
        : row,
    );
    const { figures } = await composeReport({ paths: [writeRows(rows)], compare: false });
    const finding = (id: string) => figures.find((figure) => figure.id === id)?.finding;
    expect(finding('roaming-first-token-ms')).toMatch(
      /^The turn after a move takes 6\.0 times the time to first token of turns that stay, with tokenized context; no difference/,
    );
    expect(finding('roaming-response-ms')).toMatch(/^A move costs no response time that is shown; no difference/);
  });

  it('where the next node is warm, what a move costs against history of one’s own', async () => {
    const { figures } = await composeReport({ paths: [writeRows(handoverRows())], compare: false });
    const { finding, standing, topic, svg } = figures.find(({ id }) => id === 'handover-first-token-ms')!;
    expect(svg).toMatch(/After a move −8\d\.\d % \([^)]*\) against client-side history; −8\d\.\d %/);
    expect(finding).toMatch(
      /^A move costs no time to first token that is shown; context warmed ahead begins to answer the turn after a move 8\d\.\d % sooner than client-side history$/,
    );
    expect([standing, topic]).toEqual(['shown', 'warm-move']);
    expect(figures.map(({ name }) => name).filter((name) => name.includes('of the paper'))).toEqual([]);
  });

  it('cases that differ are told apart', async () => {
    const rows = paperRows({ repeats: 3, tokenizedTimes: 1 }).map((row) =>
      row.kind === 'turn' && row.labels.variant === 'tokenized' && row.labels.llm_service === 'embedded'
        ? { ...row, response_ms: row.response_ms * 0.5 }
        : row,
    );
    expect((await reportOf([rows])).findings[0]).toMatch(
      /: 4\d\.\d % sooner with embedded llama\.cpp, no difference shown with llama-server$/,
    );
  });
});

describe('what is beside the lines', () => {
  const figureOf = async (rows: readonly object[], id: string) => {
    const { figures } = await composeReport({ paths: [writeRows(rows)], compare: false });
    return figures.find((figure) => figure.id === id)!;
  };

  it('a first turn that is far off is left out of the picture, and told', async () => {
    const { svg, table } = await figureOf(paperRows({ repeats: 2 }), 'long-context-response-ms');
    expect(svg).toMatch(/Turn 1, with 1[34],\d+ to 1[34],\d+/);
    expect(table.body[0]?.[0]?.text).toBe('Turn 1');
    // The axis is that of the other turns.
    expect(svg).not.toContain('Response time (s)');
  });

  it('long sessions say how they grow', async () => {
    const { svg } = await figureOf(growthRows({ repeats: 2 }), 'replication-sync-bytes');
    expect(svg).toMatch(/delta replication ×\u00a01\.0/);
  });

  it('response times say what the KV cache had, and how long was waited for a context', async () => {
    const rows = paperRows({ repeats: 2 }).map((row) =>
      row.kind === 'turn' ? { ...row, prompt_tokens: 600, evaluated_tokens: 30, waited_ms: row.moved ? 2 : 0 } : row,
    );
    const about = async (id: string) => (await figureOf(rows, id)).svg.replaceAll(/<\/text>\s*<text[^>]*>/g, ' ');
    expect(await about('edge-side-response-ms')).toMatch(
      /Of the 600 ids of a prompt \(median\) the model evaluated 30 with tokenized context and 30 with raw text; its KV/,
    );
    expect(await about('roaming-response-ms')).toMatch(/our consistency 2\.0\u00a0ms;[^.]*\..*No turn was refused\./);
  });

  it('every value stands in the picture where its axis has it', async () => {
    const rows = paperRows({ repeats: 3 });
    const { svg } = await figureOf(rows, 'edge-side-response-ms');
    const where = { part: 'edge-side', llm: 'embedded', setting: 'ours', variant: 'tokenized', metric: 'response_ms' };
    const values = Array.from({ length: 9 }, (_, turn) => recomputed(rows, { ...where, turn: String(turn + 1) }));
    // Of filled circles the first is the legend's.
    const circles = [...svg.matchAll(/<circle[^>]* cy="([\d.]+)"/g)].map(([, y]) => Number(y));
    const heights = circles.slice(1, 10);
    const [first, second] = [heights[0] as number, heights[8] as number];
    const slope = (second - first) / ((values[8] as number) - (values[0] as number));
    expect(slope).toBeLessThan(0);
    for (const [turn, height] of heights.entries()) {
      expect(height).toBeCloseTo(first + slope * ((values[turn] as number) - (values[0] as number)), 1);
    }
  });

  it('moves are marked with the names of the nodes', async () => {
    const { svg } = await figureOf(paperRows({ repeats: 2 }), 'roaming-response-ms');
    expect(svg.match(/>edge-[12]</g)).toHaveLength(4 * 4);
    expect((await figureOf(paperRows({ repeats: 2 }), 'edge-side-response-ms')).svg).not.toContain('>edge-1<');
  });

  it('bytes of random weights are not called the paper’s figure', async () => {
    const { figures } = await composeReport({ paths: [writeRows(paperRows({ repeats: 2 }))], compare: false });
    const names = figures.slice(0, 5).map(({ id, name }) => `${name}: ${id}`);
    expect(names).toEqual([
      'Figure 3 of the paper: edge-side-response-ms',
      'Figure 4 of the paper: edge-side-tokens-per-second',
      'Figure 5 of the paper: written-replies-sync-bytes',
      'Figure 6 of the paper: roaming-response-ms',
      'Figure 7 of the paper: roaming-request-bytes',
    ]);
    expect(figures.find(({ id }) => id === 'edge-side-sync-bytes')?.svg).toContain('Replies of random weights');
  });
});

describe('the page', () => {
  it('begins with three pictures; run ids stand at its end', async () => {
    const alike = { response_ms: 400, tokens_per_second: 20 };
    const rows = paperRows({ repeats: 3, run: 'the-run-id' }).map((row) =>
      row.kind === 'turn' ? { ...row, ...alike, first_token_ms: row.moved ? 1_800 : 300 } : row,
    );
    const { document } = await reportOf([rows]);
    const text = (selector: string) => [...document.querySelectorAll(selector)].map((one) => one.textContent);
    expect(text('h2').slice(0, 5)).toEqual([
      'What a client sends',
      'What goes between the nodes',
      'What a move costs',
      'The paper and this run',
      'At a glance',
    ]);
    expect(text('.key .sentence').every((sentence) => /\.$/.test(sentence))).toBe(true);
    expect([...document.querySelectorAll('.key figure')].length).toBe(3);
    const [shown = ''] = text('body');
    expect(shown.indexOf('the-run-id')).toBeGreaterThan(shown.indexOf('How it was run'));
    const nulls = text('p').filter((line) => line.startsWith('No difference shown: '));
    expect(nulls).toHaveLength(1);
    expect(text('main > ul li').some((line) => line.startsWith('No difference'))).toBe(false);
  });

  it('has what a warm move costs in its first screen, and beside the paper’s number', async () => {
    const page = await reportOf([paperRows({ repeats: 3 }), handoverRows()]);
    const headings = [...page.document.querySelectorAll('h2')].map(({ textContent }) => textContent);
    const [warm, table] = ['What a move costs where the next node is warm', 'The paper and this run'];
    expect(headings).toContain(warm);
    expect(headings.indexOf(warm)).toBeLessThan(headings.indexOf(table));
    const headline = [...page.document.querySelectorAll('.headline td[data-metric]')].map(({ dataset }) => dataset);
    const of = (metric: string) => headline.filter((cell) => cell.variant === 'warmed' && cell.metric === metric);
    expect(of('response_ms')).toHaveLength(1);
    expect(of('first_token_after_move_ms')).toHaveLength(1);
    expect(Number(of('first_token_after_move_ms')[0]?.value)).toBeLessThan(-0.5);
  });

  it('needs nothing from elsewhere, and runs nothing', async () => {
    const { html, document, findings } = await reportOf([paperRows({ repeats: 2 }), growthRows({ repeats: 2 })]);
    expect(html.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|url\(|@import|<script|<link|<img/);
    expect([...document.querySelectorAll('[href]')].every((link) => link.getAttribute('href')?.startsWith('#'))).toBe(
      true,
    );
    const pictures = [...document.querySelectorAll('figure > .picture > svg')];
    expect(pictures.length).toBe(findings.length);
    expect(
      pictures.every((svg) => svg.getAttribute('role') === 'img' && (svg.getAttribute('aria-label') ?? '').length > 40),
    ).toBe(true);
    // Of the colours of figures all have become the page's own.
    expect(html.replace(/<style>[\s\S]*?<\/style>/, '')).not.toMatch(/#[0-9a-f]{6}/i);
  });

  it('says what ran, where, and what it does not show', async () => {
    const { html } = await reportOf([paperRows({ repeats: 2 })]);
    for (const fact of ['2 × Sample CPU', 'commit 1234567', 'qwen1.5-0.5b-shape', '123, 0', 'random weights', 'Q8_0']) {
      expect(html).toContain(fact);
    }
    expect(html).toContain('What this does not show');
    expect(html).toContain('in 0 of 1 comparisons');
  });

  it('names from files are text, never markup', async () => {
    const evil = '<script>alert(1)</script>"&';
    const rows = scenarioRows('raw', { repeats: 2 }).map((row) => ({
      ...row,
      scenario: evil,
      model: evil,
    })) as RunRow[];
    const { html } = await reportOf([rows]);
    expect(html).not.toContain('<script>');
    expect(html).toContain('&lt;script&gt;');
  });

  it('runs of one scenario in several modes come into one figure', async () => {
    const modes = ['raw', 'tokenized', 'client-side'].map((mode, index) => scenarioRows(mode, { seed: index + 1 }));
    const page = await reportOf(modes);
    const compared = cells(page).filter(
      ({ dataset }) => dataset.metric === 'request_bytes' && dataset.baseline === 'client-side',
    );
    expect(compared.length).toBeGreaterThan(0);
    expect(page.findings).toContainEqual(
      expect.stringMatching(/^Tokenized context needs 8\d\.\d % fewer request bytes than client-side history$/),
    );
  });

  it('a run named twice is refused: it would count twice', async () => {
    const rows = paperRows({ repeats: 2 });
    await expect(reportOf([rows, rows])).rejects.toThrow(/holds the same run as .*name it once/);
  });

  it('scenario runs under other conditions are not pooled', async () => {
    const crowded = scenarioRows('raw').map((row) => (row.kind === 'run_start' ? { ...row, users: 8 } : row));
    const page = await reportOf([scenarioRows('tokenized'), crowded]);
    expect(cells(page).filter(({ dataset }) => dataset.baseline !== undefined)).toEqual([]);
  });

  it('a session that was broken off counts by turn alone', async () => {
    const rows = paperRows({ repeats: 3 });
    const broken = rows.filter(
      (row) => row.kind !== 'turn' || row.labels.repeat < 3 || row.labels.variant === 'raw' || row.turn < 4,
    );
    const valueIn = async (some: readonly ExperimentRow[], turn: string | undefined) =>
      cells(await reportOf([some])).find(
        ({ dataset: { part, metric, variant, baseline, ...rest } }) =>
          part === 'edge-side' &&
          metric === 'response_ms' &&
          variant === 'tokenized' &&
          !baseline &&
          rest.turn === turn,
      )?.dataset;
    const whole = rows.filter((row) => row.kind !== 'turn' || row.labels.repeat < 3 || row.labels.variant === 'raw');
    expect((await valueIn(broken, undefined))?.value).toBe((await valueIn(whole, undefined))?.value);
    expect((await valueIn(broken, '1'))?.value).toBe((await valueIn(rows, '1'))?.value);
  });

  it('a session that was broken off has turns but no bytes of a session', async () => {
    const rows = paperRows({ repeats: 2 }).filter((row) => row.kind !== 'sync' || row.turn !== null);
    const page = await reportOf([rows]);
    const synced = cells(page).filter(({ dataset }) => dataset.metric === 'sync_bytes');
    expect(synced.filter(({ dataset }) => dataset.turn === undefined)).toEqual([]);
  });

  it('conditions of several runs have a picture each, by model where that is enough', async () => {
    const rows = (run: string, model: string) =>
      paperRows({ repeats: 2, run }).map((row) =>
        row.kind === 'experiment_start' ? { ...row, model: { ...row.model, name: model } } : row,
      );
    const ids = async (...runs: ExperimentRow[][]) =>
      (await composeReport({ paths: runs.map((some) => writeRows(some)), compare: false })).figures
        .map(({ id }) => id)
        .filter((id) => id.startsWith('slow-uplink-response'));
    expect(await ids(rows('one', 'small'), rows('two', 'large'))).toEqual([
      'slow-uplink-response-ms-small',
      'slow-uplink-response-ms-large',
    ]);
    expect(await ids(rows('one', 'small'), rows('two', 'small'))).toEqual([
      'slow-uplink-response-ms-one',
      'slow-uplink-response-ms-two',
    ]);
  });

  it('runs that could be told apart are not pooled', async () => {
    const runs = ['one', 'two'].map((run) => paperRows({ repeats: 2, run }));
    const origins = new Set(cells(await reportOf(runs)).map(({ dataset }) => dataset.origin));
    expect(origins).toEqual(new Set(['one', 'two']));
  });
});

describe('a comparison of two runs', () => {
  it('shows what changed, by the rows of both', async () => {
    const [before, after] = [
      paperRows({ repeats: 3, run: 'one' }),
      paperRows({ repeats: 3, run: 'two', tokenizedTimes: 0.7, seed: 5 }),
    ];
    const page = await reportOf([before, after], true);
    const own = cells(page).filter(({ dataset }) => dataset.side !== undefined);
    expect(own.length).toBeGreaterThan(50);
    for (const { dataset } of own) {
      const [from, to] = [recomputed(before, dataset), recomputed(after, dataset)];
      const expected = { before: from, after: to, change: to / from - 1 }[dataset.side as 'before'];
      expect(Number(dataset.value), JSON.stringify(dataset)).toBeCloseTo(expected, 6);
    }
    expect(page.findings[0]).toMatch(/^Response time: lower in \d+ of 34 cases/);
  });

  it('of a run with itself finds nothing, and says that the runs were made alike', async () => {
    const rows = paperRows({ repeats: 2 });
    const { html, findings } = await reportOf([rows, rows], true);
    expect(findings.every((finding) => /no difference everywhere/.test(finding))).toBe(true);
    expect(html).toContain('0 of ');
    expect(html).toContain('made alike');
  });

  it('names in what the runs differ', async () => {
    const other = paperRows({ repeats: 2 }).map((row) =>
      row.kind === 'experiment_start' ? { ...row, machine: 'another', seed: 7 } : row,
    );
    expect((await reportOf([paperRows({ repeats: 2 }), other], true)).html).toContain(
      'differ in machine; seed, temperature',
    );
  });

  it('compares load at its best, and refuses runs with nothing in common', async () => {
    const page = await reportOf([loadRows({ run: 'one' }), loadRows({ run: 'two', seed: 8 })], true);
    expect(page.findings.map((finding) => finding.split(':')[0])).toEqual([
      'Turns per second, at best',
      'Response time, median (s)',
      'Response time, 95th percentile (s)',
    ]);
    for (const { dataset } of cells(page).filter((cell) => cell.dataset.side === 'before' && cell.dataset.users)) {
      expect(Number(dataset.value)).toBeCloseTo(recomputed(loadRows({ run: 'one' }), dataset), 6);
    }
    await expect(reportOf([loadRows(), growthRows({ repeats: 2 })], true)).rejects.toThrow(/nothing in common/);
  });
});

describe('files that are not whole runs', () => {
  const refused = (path: string) => expect(composeReport({ paths: [path], compare: false })).rejects;
  const file = (text: string) => {
    const path = writeRows([]);
    writeFileSync(path, text);
    return path;
  };

  it('a run that was cut off is used as far as it came, and marked', async () => {
    const whole = writeRows(paperRows({ repeats: 3 }));
    const text = readFileSync(whole, 'utf8');
    writeFileSync(whole, text.slice(0, Math.floor(text.length * 0.8)));
    const parts = await composeReport({ paths: [whole], compare: false });
    expect(parts.sources.flatMap(({ flaws }) => flaws)).toEqual([
      expect.stringContaining('incomplete: it was cut off'),
    ]);
    expect(pageMarkup(parts)).toContain('Read with care');
    // Pictures are shown without their page.
    expect(parts.figures.every(({ svg }) => svg.includes('From an incomplete run.'))).toBe(true);
  });

  it('interrupted runs, smoke tests and changed trees are marked', async () => {
    const rows = paperRows({ repeats: 2 }).map((row): ExperimentRow => {
      if (row.kind === 'experiment_start') return { ...row, quick: true, commit: '1234567+' };
      return row.kind === 'experiment_end' ? { ...row, complete: false, reason: 'interrupted', plays_done: 3 } : row;
    });
    const { flaws, document } = await reportOf([rows]);
    // Where a line ends in the middle of it, it is two elements.
    const pictures = [...document.querySelectorAll('figure > .picture > svg')].map((svg) =>
      [...svg.querySelectorAll('text')].map(({ textContent }) => textContent).join(' '),
    );
    expect(pictures.filter((text) => text.includes('From a smoke test: the numbers show nothing.'))).toEqual(pictures);
    expect(pictures.length).toBeGreaterThan(5);
    expect(flaws.join('\n')).toMatch(/smoke test[\s\S]*interrupted\): 3 of[\s\S]*commit 1234567 does not name/);
  });

  it('are refused, each with its reason', async () => {
    const [start] = paperRows();
    await refused('/nowhere/run.ndjson').toThrow(/no such file/);
    await refused(file('')).toThrow(/is empty/);
    await refused(file('{"kind":"experiment_st')).toThrow(/first row is cut off/);
    await refused(file('not json\n')).toThrow(/line 1 is not JSON/);
    await refused(file('Timestamp,Operation\n')).toThrow(/name the \.ndjson file/);
    await refused(file('{"kind":"traffic_start"}\n')).toThrow(/capture of traffic/);
    await refused(file('{"kind":"turn"}\n')).toThrow(/neither an experiment_start nor a run_start/);
    await refused(file(`${JSON.stringify({ ...start, experiment_format: 99 })}\n`)).toThrow(
      /has experiment_format 99; this version reads/,
    );
    await refused(file(`${JSON.stringify({ ...scenarioRows('raw')[0], format: 99 })}\n`)).toThrow(/format 99/);
    await refused(file(`${JSON.stringify(start)}\n`)).toThrow(/no answered turn/);
  });

  it('a folder that cannot be written is named', async () => {
    const folder = join(writeRows([]), 'below-a-file');
    const made = makeReport({ paths: [writeRows(loadRows({ repeats: 2 }))], compare: false, folder });
    await expect(made).rejects.toThrow(/below-a-file.* cannot be written/);
  });
});

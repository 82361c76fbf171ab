import { escapeMarkup } from '../drawing/canvas.ts';
import type { Figure, Topic } from '../figures/figure.ts';
import { type Table, tableMarkup } from '../figures/table.ts';
import type { ReportSource } from '../source/report-source.ts';
import { glanceMarkup } from './glance.ts';
import { KEY_HEADINGS, keyFigures } from './key-figures.ts';
import { inPageColours, PAGE_STYLE } from './page-style.ts';

export interface PageParts {
  readonly title: string;
  /** Under the title. */
  readonly lead: string;
  readonly sources: readonly ReportSource[];
  readonly figures: readonly Figure[];
  /** Before the figures: the numbers that matter most. */
  readonly headline: { readonly heading: string; readonly table: Table } | undefined;
  readonly limits: readonly string[];
  /** How to make the page again. */
  readonly command: string;
}

/** More would push what follows off the screen. */
const REMARKS_SHOWN = 10;

/** The report as one HTML file that needs nothing else. */
export function pageMarkup(parts: PageParts): string {
  const { title, lead, sources, figures, headline, limits, command } = parts;
  const key = keyFigures(figures);
  const others = figures.filter((figure) => !key.includes(figure));
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escapeMarkup(title)}</title>`,
    `<style>${PAGE_STYLE}</style>`,
    '</head>',
    '<body>',
    '<header>',
    `<h1>${escapeMarkup(title)}</h1>`,
    `<p class="muted">${escapeMarkup(lead)}</p>`,
    flaws(sources),
    '</header>',
    '<main>',
    key.map(keyMarkup).join('\n'),
    headline === undefined
      ? ''
      : `<section class="headline">${section(headline.heading, tableMarkup(headline.table))}</section>`,
    section('At a glance', glanceMarkup(figures)),
    section('Figures', others.map(figureMarkup).join('\n')),
    section('What this does not show', list(limits)),
    notes(sources),
    section('How it was run', sources.map(facts).join('\n')),
    section(
      'How to make this page again',
      `<p><code>${escapeMarkup(command)}</code></p>
<p>Every number is computed from the rows of these runs. A median is over all turns of all sessions; a change compares two such medians. Intervals draw whole sessions again (a bootstrap: in all ways where those are few, else 2,000 times with the seed of the run), since turns of one session are not independent. Where an interval holds 0, no difference is shown: there may be one that is smaller than the interval is wide.</p>`,
    ),
    '</main>',
    '</body>',
    '</html>',
    '',
  ].join('\n');
}

function section(heading: string, content: string): string {
  return content === '' ? '' : `<h2>${escapeMarkup(heading)}</h2>\n${content}`;
}

function flaws(sources: readonly ReportSource[]): string {
  const items = sources.flatMap(({ run, flaws: found }) => found.map((flaw) => `${run}: ${flaw}`));
  return items.length === 0 ? '' : `<div class="flaws" role="note"><strong>Read with care</strong>${list(items)}</div>`;
}

/** The sentence stands in the picture; a narrow screen shows it above, since the picture is wider. */
function keyMarkup(figure: Figure): string {
  const heading = KEY_HEADINGS[figure.topic as Topic];
  return `<section class="key"><h2>${heading}</h2>\n<p class="sentence">${escapeMarkup(figure.finding)}.</p>\n${figureMarkup(figure)}</section>`;
}

function figureMarkup({ id, name, svg, table }: Figure): string {
  return [
    `<h3 id="${id}">${escapeMarkup(name)}</h3>`,
    `<figure><div class="picture">${inPageColours(svg)}</div>`,
    `<figcaption><details><summary>The numbers</summary>${tableMarkup(table)}</details></figcaption></figure>`,
  ].join('\n');
}

/** With the run that says it, where there are several; what all of them say, once. */
function notes(sources: readonly ReportSource[]): string {
  const said = sources.flatMap((source) =>
    [...source.notes.map(({ part, text }) => (part === null ? text : `${part}: ${text}`)), ...checkTexts(source)].map(
      (text) => ({ text, run: source.run }),
    ),
  );
  const texts = [...new Set(said.map(({ text }) => text))].map((text) => {
    const runs = said.filter((one) => one.text === text).map(({ run }) => run);
    return runs.length === sources.length ? text : `${runs.join(', ')}: ${text}`;
  });
  const all = texts.length === 0 ? '' : list(texts);
  const folded = `<details><summary>${texts.length} remarks</summary>${all}</details>`;
  return section('What the runs say themselves', texts.length > REMARKS_SHOWN ? folded : all);
}

function checkTexts({ checks }: ReportSource): string[] {
  if (checks.length === 0) return [];
  const agreeing = checks.filter(({ agrees }) => agrees).length;
  const counts = `Ids of prompt and reply are equal in all variants in ${agreeing} of ${checks.length} comparisons.`;
  const others = checks.flatMap(({ part, setting, llm_service, repeat, variants, differences }) =>
    differences.map(({ turn, prompt_tokens, reply_tokens }) => {
      const each = variants.map((variant, index) => `${variant} ${prompt_tokens[index]} and ${reply_tokens[index]}`);
      return `They differ in ${part}, ${setting}, ${llm_service}, repeat ${repeat}, turn ${turn}: ${each.join('; ')}.`;
    }),
  );
  return [counts, ...others];
}

function facts({ title, facts: rows, flaws: found }: ReportSource): string {
  const shown = rows.filter(([, value]) => value !== '');
  const state = found.length === 0 ? 'complete' : found.join('; ');
  const cells = [...shown, ['state', state] as const].map(
    ([name, value]) => `<tr><th scope="row">${escapeMarkup(name)}</th><td>${escapeMarkup(value)}</td></tr>`,
  );
  return `<div class="table facts"><table><caption>${escapeMarkup(title)}</caption><tbody>${cells.join('\n')}</tbody></table></div>`;
}

function list(items: readonly string[]): string {
  return `<ul>${items.map((item) => `<li>${escapeMarkup(item)}</li>`).join('\n')}</ul>`;
}

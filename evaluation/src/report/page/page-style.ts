import { COLOURS, DARK_COLOURS, FONTS } from '../drawing/looks.ts';

type ColourName = keyof typeof COLOURS;
const NAMES = Object.keys(COLOURS) as ColourName[];

/** A figure whose colours follow the page's. */
export function inPageColours(svg: string): string {
  return NAMES.reduce((text, name) => text.replaceAll(COLOURS[name], `var(--${name})`), svg);
}

function variables(colours: Readonly<Record<ColourName, string>>): string {
  return NAMES.map((name) => `--${name}: ${colours[name]};`).join(' ');
}

/** One sheet, no script, nothing from elsewhere. Print is always light. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; ${variables(COLOURS)} --warning: #fff3d6; --link: #0b4f9e; }
@media screen and (prefers-color-scheme: dark) { :root { ${variables(DARK_COLOURS)} --warning: #3b2f12; --link: #6cb6ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 20px 64px; max-width: 940px; background: var(--surface); color: var(--ink); font: 16px/1.55 ${FONTS}; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 8px 0 4px; }
h2 { font-size: 1.3rem; margin: 44px 0 10px; padding-top: 10px; border-top: 2px solid var(--grid); }
h3 { font-size: 1rem; margin: 30px 0 6px; color: var(--muted); font-weight: 700; }
p, li { max-width: 76ch; }
a { color: var(--link); }
.muted, caption, figcaption { color: var(--muted); }
.flaws { background: var(--warning); border-left: 5px solid var(--orange); padding: 10px 16px; margin: 16px 0; }
.flaws ul { margin: 4px 0; padding-left: 20px; }
figure { margin: 0 0 8px; }
figure svg { display: block; width: 100%; height: auto; min-width: 620px; }
.picture, .table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; margin: 10px 0; }
caption { text-align: left; padding-bottom: 6px; }
th, td { border-bottom: 1px solid var(--grid); padding: 5px 14px 5px 0; text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid var(--muted); }
th[scope='row'] { font-weight: 400; min-width: 6em; }
tbody td { white-space: nowrap; }
.facts td { white-space: normal; }
th[scope='rowgroup'] { font-weight: 400; min-width: 9em; }
.headline td:not([data-metric]) { white-space: normal; }
summary { cursor: pointer; color: var(--link); margin: 4px 0; }
code { font: 0.9em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
@media (min-width: 681px) { .sentence { display: none; } }
@media screen and (max-width: 680px) {
  body { padding: 14px 12px 40px; }
  h1 { font-size: 1.45rem; }
  .headline thead { display: none; }
  .headline tr { display: flex; flex-wrap: wrap; gap: 2px 12px; padding: 6px 0; border-bottom: 1px solid var(--grid); }
  .headline :is(caption, table, tbody) { display: block; }
  .headline :is(th, td) { display: block; border: 0; padding: 0; min-width: 0; white-space: normal; }
  .headline td:empty { display: none; }
  .headline :is(th, td[data-label]) { flex: 1 0 100%; }
  .headline th { font-weight: 700; padding-top: 8px; }
  .headline td[data-label] { color: var(--muted); }
  td[data-label]::before { content: attr(data-label) ': '; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  figure, tr, .flaws { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .picture, .table { overflow: visible; }
  figure svg { min-width: 0; }
  details::details-content { content-visibility: visible; }
}
`;

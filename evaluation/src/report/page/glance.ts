import { escapeMarkup } from '../drawing/canvas.ts';
import type { Figure } from '../figures/figure.ts';
import type { Standing } from '../numbers/finding.ts';

/** What is shown, a line each; what is not, in one line, and what was played too seldom in another. */
export function glanceMarkup(figures: readonly Figure[]): string {
  const of = (wanted: Standing) => figures.filter(({ standing }) => standing === wanted);
  const shown = of('shown').map((figure) => `<li>${escapeMarkup(figure.finding)} (${link(figure)}).</li>`);
  return [
    shown.length === 0 ? '' : `<ul>${shown.join('\n')}</ul>`,
    together('No difference shown', of('no-difference')),
    together('One session each, too few to tell a difference from chance', of('untested')),
  ]
    .filter((markup) => markup !== '')
    .join('\n');
}

function together(what: string, figures: readonly Figure[]): string {
  return figures.length === 0 ? '' : `<p class="muted">${what}: ${figures.map(link).join('; ')}.</p>`;
}

function link({ id, name }: Figure): string {
  return `<a href="#${id}">${escapeMarkup(name)}</a>`;
}
